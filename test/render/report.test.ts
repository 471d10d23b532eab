import { expect, test } from "vitest";
import { PLAIN } from "../../src/render/look.ts";
import { reportJson } from "../../src/render/report-json.ts";
import { reportText } from "../../src/render/report-text.ts";
import { jsonText } from "../../src/render/table.ts";
import { eventfulReport } from "./scenario.ts";

test("reportText() tells people what became of each workload", async () => {
  await expect(reportText(eventfulReport(), PLAIN)).toMatchFileSnapshot("../golden/report.txt");
});

test("reportJson() tells programs the same", async () => {
  await expect(jsonText(reportJson(eventfulReport()))).toMatchFileSnapshot("../golden/report.json");
});
