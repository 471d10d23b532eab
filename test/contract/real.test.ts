import { GENERATIONS } from "../lab/lab.ts";
import { openReal } from "./open-real.ts";
import { serverSuite } from "./server-suite.ts";

for (const generation of GENERATIONS) {
  serverSuite(`Incus ${generation}`, () => openReal(generation));
}
