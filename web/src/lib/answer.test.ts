import { expect, it } from "vitest";
import { type Answer, below, csvOf, label, labels, moment, tested } from "./answer";
import type { Query } from "./question";

const query: Query = {
  columns: [
    { name: "age", unit: "years", whole: true, minimum: 18, maximum: 110, moments: true, quantiles: [0.5], cuts: [40, 60] },
    { name: "sex", codes: [{ value: 0, meaning: "female" }, { value: 1, meaning: "" }] },
  ],
  tables: [{ rows: "sex", columns: "age" }],
};
const [age, sex] = query.columns as [Query["columns"][number], Query["columns"][number]];
const answer: Answer = {
  rows: 100,
  silos: ["a", "b"],
  columns: [
    { name: "age", present: 99, missing: 1, mean: 52.5, sd: 9.25, quantiles: [{ at: 0.5, value: 54, error: 0 }], groups: [10, null, 40] },
    { name: "sex", present: null, missing: null, groups: [null, 60] },
  ],
  tables: [{ rows: "sex", columns: "age", cells: [[1, 2, 3, 0], [4, 5, 6, 0], [0, 0, 0, null]], chi_square: 3.14159, degrees: 2, p_value: 0.2079, least_expected: 2.04, odds_ratio: [] }],
};

it("names groups as the command line does", () => {
  expect(labels(age)).toEqual(["up to 40", "above 40 to 60", "above 60", "missing"]);
  expect([label(sex, 0), label(sex, 1)]).toEqual(["0 (female)", "1"]);
});

it("says what is hidden, and what the noise has swallowed", () => {
  expect(moment(52.123456789, 0, false)).toBe("52.1235");
  expect(moment(52.123456789, 0.4567, true)).toBe("52.1235 ± 0.46");
  expect([moment(null, 0, false), moment(null, 0, true)]).toEqual(["hidden", "in the noise"]);
});

it("tells a table's test, and when it is rough or there is none", () => {
  const table = answer.tables?.[0] as NonNullable<Answer["tables"]>[number];
  expect(tested(table, false)).toBe("Chi-square 3.142 with 2 degrees of freedom, p = 0.208 (rough: a count of 2 was to be expected).");
  expect(tested({ ...table, degrees: 1, least_expected: 9, odds_ratio: [2.5, 1.2, 5.1] }, false)).toContain("1 degree of freedom, p = 0.208. Odds ratio 2.5, 95 % interval 1.2 to 5.1.");
  expect(tested({ ...table, chi_square: null }, false)).toContain("counts are hidden");
  expect(tested(table, true)).toContain("without noise");
});

it("is saved with each number in a row, and nothing where it was not told", () => {
  const lines = csvOf(query, answer).split("\n");
  expect(lines[0]).toBe("what,column,group,by,by_group,value,error");
  expect(lines).toContain("mean,age,,,,52.5,");
  expect(lines).toContain("quantile,age,0.5,,,54,0");
  expect(lines).toContain("group,age,above 40 to 60,,,,");
  expect(lines).toContain("cell,sex,0 (female),age,above 60,3,");
  expect(csvOf(query, { ...answer, count_error: 2 })).toContain(`missing,age,,,,1,${2 * Math.SQRT2}`);
});

it("knows a count below nothing", () => {
  expect(below(answer)).toBe(false);
  expect(below({ ...answer, columns: [{ name: "sex", present: 3, missing: -2 }] })).toBe(true);
});
