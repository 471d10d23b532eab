import { expect, test } from "vitest";
import { salvageNotices } from "../../src/config/salvage-notices.ts";

function salvaged(text: string, of: "run" | "offsite" = "run"): (string | undefined)[] {
  const { healthchecksUrl, gotifyUrl } = salvageNotices(text, of);
  return [healthchecksUrl?.reveal(), gotifyUrl?.reveal()];
}

test("salvageNotices() finds the addresses in a text that is not even JSON", () => {
  const text =
    '{ "iab": { "healthchecksUrl" : "https://hc.example/ping/1", "gotifyURL": " https:\\/\\/g.example/m?token=a",, }';
  expect(salvaged(text)).toEqual(["https://hc.example/ping/1", "https://g.example/m?token=a"]);
});

test("salvageNotices() of an offsite run finds the check of its own", () => {
  const text = '{ "healthchecksUrl": "https://hc.example/1", "offsite": { "healthchecks_url": "https://hc.example/2", ';
  expect(salvaged(text, "offsite")).toEqual(["https://hc.example/2", undefined]);
});

const nothing = [
  "",
  "{}",
  '{"healthchecksUrl": {"file": "/etc/hc"}, "gotifyUrl": null}',
  '{"healthchecksUrl": "", "gotifyUrl": "gotify.example"}',
  '{"healthchecksUrl": "file:///etc/passwd", "gotifyUrl": "https://\\x"}',
];
test.each(nothing)("salvageNotices() finds nothing to call in %s", (text) => {
  expect(salvaged(text)).toEqual([undefined, undefined]);
});
