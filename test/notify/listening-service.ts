import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll } from "vitest";

export type Heard = { readonly path: string; readonly query: string; readonly body: string };

export type ListeningService = {
  /** Where it listens, once the tests of the file run. */
  readonly address: () => string;
  /** What came in the test that runs, in order. */
  readonly heard: Heard[];
  /** The statuses of the next answers of this test; what comes after them is answered with 200. */
  readonly answers: number[];
};

/** A Healthchecks or Gotify for the tests of the file that calls it: it remembers what it heard, and answers as it is told to. */
export function listeningService(): ListeningService {
  const heard: Heard[] = [];
  const answers: number[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += String(chunk);
    });
    request.on("end", () => {
      const { pathname, search } = new URL(request.url ?? "/", "http://127.0.0.1");
      heard.push({ path: pathname, query: search, body });
      response.writeHead(answers.shift() ?? 200).end("OK");
    });
  });
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
  afterAll(() => server.close());
  afterEach(() => {
    heard.length = 0;
    answers.length = 0;
  });
  return { address: () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard, answers };
}
