// Makes numbers.json and dates.json: what JavaScript prints, and what moment.js formats.
// Run in a folder where `npm install moment-timezone@0.6` was run; the files are written beside this one.
const fs = require("fs");
const path = require("path");
const moment = require(path.join(process.cwd(), "node_modules/moment-timezone"));

function write(name, rows) {
  const lines = rows.map((row) => "  " + JSON.stringify(row)).join(",\n");
  fs.writeFileSync(path.join(__dirname, name), `[\n${lines}\n]\n`);
}

// Numbers: [as written, as printed]
const numbers = [
  "0.1", "2.50", "100.0", "1e20", "123456789012345678901.0", "1e21", "1.5e21", "1.7976931348623157e308", "5e-324",
  "1e-6", "1e-7", "1.234e-7", "0.000001234", "-0.0", "0.0", "-1.5", "-1e-10", "4.35", "0.30000000000000004", "1e100",
  "123456.789", "9007199254740993.0", "9223372036854775808.0", "999999999999999900000.0", "0.1e-5", "12e-6", "1E+2",
];
let seed = 1;
function next() {
  seed = (seed * 1103515245 + 12345) % 2147483648;
  return seed / 2147483648;
}
for (let i = 0; i < 200; i++) numbers.push((next() * Math.pow(10, Math.floor(next() * 60) - 30)).toExponential());
write("numbers.json", numbers.map((text) => [text, String(JSON.parse(text))]));

// Dates: [date, format, zone or null, as formatted]. "~" separates: moment's "w|" and "W|" are no weeks.
const form = (
  "YYYYYY YYYYY YYYY YY Y Q Qo MMMM MMM MM Mo M DDDD DDDo DDD DD Do D dddd ddd dd do d e E ww wo w WW Wo W gggg gg " +
  "GGGG GG A a HH H hh h kk k mm m ss s S SS SSS Hmm Hmmss hmm hmmss ZZ Z X x LTS LT LLLL LLL LL L llll lll ll l"
).split(" ").join("~");
const dates = [];
const add = (date, format, zone, formatted) => dates.push([date, format, zone, formatted.format(format)]);
for (const date of [
  "2020-01-01T23:00:00.000Z", "2024-02-29T00:05:09.123Z", "2026-12-31T12:00:00Z", "2021-01-03T11:59:59.999Z",
  "1969-07-20T20:17:40Z", "2024-03-10T06:59:59Z", "2024-03-10T07:00:00Z",
]) {
  add(date, form, null, moment.utc(date));
  add(date, form, "-0800", moment.utc(date).utcOffset("-0800"));
  add(date, form, "+05:30", moment.utc(date).utcOffset("+05:30"));
  for (const zone of ["America/New_York", "Asia/Kolkata"]) {
    add(date, form + "~z~zz", zone, moment.utc(date).tz(zone));
  }
}
for (const [date, format] of [
  ["2020-01-01", "[on] dddd [the] Do [of] MMMM"], ["2020-01-01T15:00:00-08:00", "YYYY-MM-DD HH:mm Z z"],
  ["2020-01-01 10:00", "h:mm a"], ["2020-06", "MMM YYYY"], ["2020", "L"], ["2020-W05-3", "L"], ["20200105", "L"],
  ["2020-01-01T10:00:00+0200", "HH:mm"], ["2020-01-01T10:00:00.123Z", "SSS S SS"], ["2020-01-01T10:00:00Z", "\\h [h] h"],
  ["2020-01-01T10:00:00Z", "YYYY/MM/DD, at H o'clock"], ["2020-01-01T10:00:00.5+02", "HH:mm:ss.SSS"],
]) {
  add(date, format, null, moment.utc(date));
}
for (const offset of [-8, 5.5, -480, 330, 0]) {
  add("2020-01-01T23:00:00Z", "L HH:mm Z", offset, moment.utc("2020-01-01T23:00:00Z").utcOffset(offset));
}
write("dates.json", dates);
