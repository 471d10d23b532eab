import { openFake } from "./open-fake.ts";
import { serverSuite } from "./server-suite.ts";

for (const generation of ["6.0", "7.0"] as const) {
  serverSuite(`the fake Incus ${generation}`, () => openFake(generation));
}
