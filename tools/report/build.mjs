// SPDX-License-Identifier: Apache-2.0
// Bundles the page into one file, as a C array: node build.mjs NODE_MODULES OUTPUT. What it has of other packages stands in
// it with their licences.
import { createRequire } from "node:module";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [modules, output] = process.argv.slice(2).map((path) => resolve(path));
const { build } = createRequire(join(modules, "package.json"))("esbuild");
const here = dirname(fileURLToPath(import.meta.url));
const read = (name) => readFileSync(join(here, name), "utf8");

const bundle = await build({
  entryPoints: [join(here, "report.js")], bundle: true, minify: true, write: false, metafile: true, format: "iife", target: "es2020",
  charset: "ascii", legalComments: "none", nodePaths: [modules], absWorkingDir: here,
});
const style = await build({ entryPoints: [join(here, "style.css")], minify: true, write: false });

// The folders of the packages that the bundle has code of.
const packages = new Set(Object.keys(bundle.metafile.inputs).map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean));
const licences = [...packages].sort().map((name) => {
  const folder = join(modules, name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (!file) throw new Error(`${name} has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

// A function as replacement: text with "$&" in it must not be expanded.
const fill = (page, mark, text) => page.replace(mark, () => text);
let page = read("page.html");
page = fill(page, "/*STYLE*/", style.outputFiles[0].text.trim());
page = fill(page, "/*LICENCES*/", escape(licences.join("\n")));
page = fill(page, "/*SCRIPT*/", bundle.outputFiles[0].text.trim().replace(/<\/script/gi, "<\\/script"));
if (!page.includes("/*DATA*/")) throw new Error("the page has no place for data");
const bytes = Buffer.from(page, "utf8");
const lines = [];
for (let i = 0; i < bytes.length; i += 32) lines.push(bytes.subarray(i, i + 32).join(","));
writeFileSync(output, `static const unsigned char report_page[] = {\n${lines.join(",\n")}};\n`);
