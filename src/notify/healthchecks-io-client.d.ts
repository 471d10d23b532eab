/** The part of the package that the agent uses: it has no types of its own. */
declare module "healthchecks-io-client" {
  export class HealthChecksApiClient {
    constructor(options: { apiKey: string; baseUrl: string; timeout: number });
    createCheck(check: Readonly<Record<string, unknown>>): Promise<unknown>;
  }
}
