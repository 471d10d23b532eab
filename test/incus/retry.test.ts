import { expect, test } from "vitest";
import { withRetries } from "../../src/incus/retry.ts";
import { IncusRefusal } from "../../src/model/errors.ts";
import { systemClock } from "../../src/system/clock.ts";

const stumbled = 'Storage volume "data" in project "web" does not exist on pool "local": Storage volume not found';

test.each([
  { status: 500, idempotent: true, attempts: 2 },
  { status: 500, idempotent: false, attempts: 1 },
  { status: 404, idempotent: true, attempts: 1 },
])("withRetries() asks $attempts time(s) where $status names a volume that is being deleted", async (each) => {
  const { status, idempotent, attempts } = each;
  let asked = 0;
  const options = { idempotent, startupMs: 0, clock: { ...systemClock, sleep: async () => {} } };
  const answer = withRetries(options, new AbortController().signal, async () => {
    asked += 1;
    if (asked < 2) throw new IncusRefusal(status, stumbled);
    return "the list";
  });
  await answer.catch(() => {});
  expect(asked).toBe(attempts);
});
