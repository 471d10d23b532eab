/** A configuration with every key of IAB 1.2.0, its odd spellings among them. */
export const PREDECESSORS = {
  iab: {
    iabCredDir: "./credentials",
    uuid: "",
    stopInstance: true,
    healthchecksUrl: "https://hc.example/ping/11112222",
    gotifyURL: "https://gotify.example/message?token=TOKEN",
  },
  hosts: [
    { name: "", role: "source", url: "https://192.0.2.10:8443" },
    { name: "vault", role: "target", url: "https://192.0.2.11:8443/" },
  ],
  projects: [
    {
      name: "default",
      description: "all that matters",
      mode: "pull",
      instances: [
        { name: "web1", storage: "local" },
        { name: "vm1", storage: "", excludeDevices: ["eth0", "data"] },
      ],
      volumes: [{ name: "data", storage: "extra" }],
    },
    { name: "shop", mode: "", instances: null },
  ],
  retention: {
    hosts: {
      source: {
        default: "6,1h2d",
        projects: {
          default: {
            default: "5,1h2d",
            instances: { default: "4,1h2d", byName: { vm1: "3,1h2d", web1: "" } },
            volumes: { default: "", byName: null },
          },
        },
      },
      target: { default: "12,1d1y", projects: { default: { instances: { byName: { vm1: " " } } } } },
    },
  },
};

/** The least that a configuration must say, with what a test is about put into it. */
export function configText(more: Readonly<Record<string, unknown>> = {}): string {
  const least = { iab: { iabCredDir: "/c" }, hosts: PREDECESSORS.hosts, projects: [] };
  return JSON.stringify({ ...least, ...more });
}
