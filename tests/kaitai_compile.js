// Compile a .ksy for Python: node kaitai_compile.js FILE.ksy OUTPUT-FOLDER
// NODE_PATH names the folder that tools/kaitai-compiler.sh filled.
"use strict";
const fs = require("fs");
const path = require("path");
const compiler = require("kaitai-struct-compiler");
const yaml = require("js-yaml");

const [source, folder] = process.argv.slice(2);
compiler
  .compile("python", yaml.load(fs.readFileSync(source, "utf8")), null, false)
  .then((files) => {
    for (const [name, text] of Object.entries(files)) {
      fs.writeFileSync(path.join(folder, name), text);
    }
  })
  .catch((error) => {
    console.error(String(error));
    process.exit(1);
  });
