// handlebars.js's answer to a template, with SendGrid's helpers as its documentation has them, so that blocks of them
// can be compared as well. As a program: reads a JSON array of [template, data as JSON] and writes the array of answers.

const { readFileSync } = require("fs");
const Handlebars = require("handlebars");

Handlebars.log = Handlebars.logger.log = () => {};

const isTrue = (value) => (value === 0 ? false : !Handlebars.Utils.isEmpty(value));
const isMissing = (value) => value === null || value === undefined;
const asNumber = (value) =>
  typeof value === "number" || typeof value === "boolean"
    ? Number(value)
    : typeof value === "string" && /^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$/.test(value)
      ? Number(value)
      : NaN;

function equal(left, right) {
  if (left === right) return true;
  if (typeof left === "string" && typeof right === "string") return false;
  if (isMissing(left) || isMissing(right)) return isMissing(left) && isMissing(right);
  if (typeof left === "boolean" && typeof right === "string") return right === String(left);
  if (typeof right === "boolean" && typeof left === "string") return left === String(right);
  return asNumber(left) === asNumber(right);
}

function order(left, right) {
  const numbers = [asNumber(left), asNumber(right)];
  if (!numbers.some(Number.isNaN)) return Math.sign(numbers[0] - numbers[1]);
  if (typeof left !== "string" || typeof right !== "string") return NaN;
  return left < right ? -1 : left > right ? 1 : 0;
}

// The first that meets the condition, else the last.
const firstOrLast = (values, condition) => values.at(values.findIndex(condition));

const CONDITIONS = {
  equals: equal,
  notEquals: (left, right) => !equal(left, right),
  greaterThan: (left, right) => order(left, right) === 1,
  lessThan: (left, right) => order(left, right) === -1,
  and: (...values) => firstOrLast(values, (value) => !isTrue(value)),
  or: (...values) => firstOrLast(values, isTrue),
};
for (const [name, condition] of Object.entries(CONDITIONS)) {
  Handlebars.registerHelper(name, function (...values) {
    const options = values.pop();
    const value = condition(...values);
    if (!options.fn) return value;
    return isTrue(value) ? options.fn(this) : options.inverse(this);
  });
}
Handlebars.registerHelper("length", (value) => (typeof value === "string" || Array.isArray(value) ? value.length : 0));
Handlebars.registerHelper("insert", (value, fallback) =>
  isMissing(value) || value === "" ? String(fallback).replace(/^default=/, "") : value,
);

// With the option noEscape, handlebars.js adds two numbers that stand side by side. So only the escape is left out.
const { escapeExpression } = Handlebars.Utils;
const unescaped = (value) => (isMissing(value) ? "" : String(value));

function run(template, data, escape) {
  Handlebars.Utils.escapeExpression = escape;
  return Handlebars.compile(template)(JSON.parse(data));
}

// {html, text}: with escapes, and without where that is another; null: handlebars.js throws.
function answer(template, data) {
  try {
    const html = run(template, data, escapeExpression);
    const text = run(template, data, unescaped);
    return text === html ? { html } : { html, text };
  } catch {
    return { html: null };
  }
}

module.exports = { answer, Handlebars };

if (require.main === module) {
  const cases = JSON.parse(readFileSync(0, "utf8"));
  process.stdout.write(JSON.stringify(cases.map(([template, data]) => answer(template, data))));
}
