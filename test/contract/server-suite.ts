import { afterAll, beforeAll, describe } from "vitest";
import { backupSuite } from "./backup-suite.ts";
import { changeSuite } from "./change-suite.ts";
import { contentsSuite } from "./contents-suite.ts";
import { copySuite } from "./copy-suite.ts";
import { exportSuite } from "./export-suite.ts";
import { identitySuite } from "./identity-suite.ts";
import { listingSuite } from "./listing-suite.ts";
import { operationSuite } from "./operation-suite.ts";
import { refusalSuite } from "./refusal-suite.ts";
import { restrictedSuite } from "./restricted-suite.ts";
import { snapshotSuite } from "./snapshot-suite.ts";
import type { Stage } from "./stage.ts";

/** What every server must do, and what the agent's client must make of it. Fakes and real servers pass it alike. */
export function serverSuite(title: string, open: () => Promise<Stage>): void {
  describe(title, () => {
    let stage: Stage;
    beforeAll(async () => {
      stage = await open();
    });
    afterAll(() => stage.close());
    const at = (): Stage => stage;

    describe("identity and trust", () => identitySuite(at));
    describe("listings", () => listingSuite(at));
    describe("snapshots", () => snapshotSuite(at));
    describe("changes", () => changeSuite(at));
    describe("operations", () => operationSuite(at));
    describe("copies", () => copySuite(at));
    describe("backups", () => backupSuite(at));
    describe("known contents", () => contentsSuite(at));
    describe("exports", () => exportSuite(at));
    describe("refusals", () => refusalSuite(at));
    describe("a restricted certificate", () => restrictedSuite(at));
  });
}
