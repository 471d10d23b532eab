import { expect, test } from "vitest";
import { salvageNotices } from "../../src/config/salvage-notices.ts";

function salvaged(text: string, of: "run" | "offsite" = "run"): unknown[] {
  const { healthchecksUrl, gotifyUrl } = salvageNotices(text, of);
  return [healthchecksUrl, gotifyUrl].map((ref) => (ref?.kind === "value" ? ref.secret.reveal() : ref));
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

test("salvageNotices() finds where an address is that the text does not hold", () => {
  const text = '{"healthchecksUrl": { "file": "/etc/hc" }, "gotifyUrl": {"credential": "gotify"}, "projcets": []';
  expect(salvaged(text)).toEqual([
    { kind: "file", path: "/etc/hc" },
    { kind: "credential", name: "gotify" },
  ]);
  expect(salvaged('"gotifyUrl": {"env": "GOTIFY"}')).toEqual([undefined, { kind: "env", name: "GOTIFY" }]);
});

const nothing = [
  "",
  "{}",
  '{"healthchecksUrl": {"file": 3}, "gotifyUrl": null}',
  '{"healthchecksUrl": {"path": "/etc/hc"}, "gotifyUrl": {"env": "A", "file": "/b"}}',
  '{"healthchecksUrl": "", "gotifyUrl": "gotify.example"}',
  '{"healthchecksUrl": "file:///etc/passwd", "gotifyUrl": "https://\\x"}',
];
test.each(nothing)("salvageNotices() finds nothing to call in %s", (text) => {
  expect(salvaged(text)).toEqual([undefined, undefined]);
});
