import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { AgentError } from "../../src/model/errors.ts";
import { brokenConfigs } from "./broken-configs.ts";

function refusal(text: string): AgentError {
  try {
    parseConfig(text);
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("parseConfig()", () => {
  test.each(Object.keys(brokenConfigs))("refuses %s", (name) => {
    const { code, message } = refusal(brokenConfigs[name] ?? "");
    expect(code).toBe("config.invalid");
    expect(message).not.toContain("hunter2");
  });

  test("says of each what is wrong with it", async () => {
    const said = Object.entries(brokenConfigs).map(([name, text]) => `# ${name}\n${refusal(text).message}\n`);
    await expect(said.join("\n")).toMatchFileSnapshot("../golden/broken-configs.txt");
  });
});
