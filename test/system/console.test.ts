import { expect, test } from "vitest";
import { openConsole } from "../../src/system/console.ts";

function streams(isTTY: boolean) {
  const written: string[] = [];
  const stream = { isTTY, columns: 20, write: (text: string) => written.push(text) > 0 };
  return { written, console: openConsole(stream as never, stream as never) };
}

test("openConsole() takes the drawn line away for what is written, and puts it back below", () => {
  const { written, console } = streams(true);
  console.draw("50 %");
  console.print("a result");
  console.draw("");
  console.printError("bye\n");
  expect(written).toEqual(["50 %", "\r\u001b[2K", "a result\n", "50 %", "\r\u001b[2K", "bye\n"]);
});

test("openConsole() draws no line longer than the terminal is wide, and none where there is no terminal", () => {
  const wide = streams(true);
  wide.console.draw("x".repeat(100));
  expect(wide.written).toEqual(["x".repeat(19)]);
  const none = streams(false);
  none.console.draw("50 %");
  expect(none.written).toEqual([]);
});
