// Makes handlebars.json: the cases of cases.js with handlebars.js's answers. Run where npm's `handlebars` is installed:
// NODE_PATH=<its node_modules> node tests/unit/templates/corpus/make.js
// A case's data is an index of "data". A null answer: handlebars.js throws. "text" is the answer without escapes, where
// it is another than "html".

const { writeFileSync } = require("fs");
const path = require("path");
const { answer, Handlebars } = require("./answers.js");

const datas = [];
const lines = [];
for (const [group, cases] of Object.entries(require("./cases.js"))) {
  for (const [template, given] of cases) {
    const data = typeof given === "string" ? given : JSON.stringify(given);
    if (!datas.includes(data)) datas.push(data);
    lines.push(JSON.stringify({ group, template, data: datas.indexOf(data), ...answer(template, data) }));
  }
}
const listed = (items) => `[\n${items.join(",\n")}\n]`;
const data = listed(datas.map((item) => JSON.stringify(item)));
writeFileSync(path.join(__dirname, "handlebars.json"), `{"data": ${data},\n"cases": ${listed(lines)}}\n`);
console.log(`${lines.length} cases, handlebars ${Handlebars.VERSION}`);
