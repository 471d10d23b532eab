// Bundles the agent into one file that needs nothing but Node: `node build.mjs` writes dist/iab.mjs, and
// `node build.mjs ENTRY OUT` another program in the same way.
import { chmod, readFile, rename } from "node:fs/promises";
import { build } from "esbuild";

const { version } = JSON.parse(await readFile("package.json", "utf8"));
const [entryPoint = "src/main.ts", outfile = "dist/iab.mjs"] = process.argv.slice(2);

// Packages in CommonJS call require() for Node's own modules, which an ES module does not have by itself.
const banner = [
  "#!/usr/bin/env node",
  'import { createRequire as iabCreateRequire } from "node:module";',
  "const require = iabCreateRequire(import.meta.url);",
].join("\n");

// Zod brings its messages in fifty languages; ours are written in one.
const englishOnly = {
  name: "english-only",
  setup(bundler) {
    bundler.onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
    }));
  },
};

// Written aside first: whoever runs the program meanwhile finds the old one or the new one, whole.
const aside = `${outfile}.${process.pid}`;
await build({
  entryPoints: [entryPoint],
  outfile: aside,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20.19",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  define: { IAB_VERSION: JSON.stringify(version) },
  banner: { js: banner },
  plugins: [englishOnly],
  logLevel: "warning",
});
await chmod(aside, 0o755);
await rename(aside, outfile);
