import { describe, expect, it } from "vitest";
import type { Column, Description } from "../api/queries";
import { chosen, command, edges, grouped, limits, planOf, question, queryOf, shares, trouble, unfit } from "./question";

const column = (given: Partial<Column>): Column => ({ role: "feature", type: "number", unit: "", min: null, max: null, codes: {}, about: "", ...given });
const age = column({ type: "integer", unit: "years", min: 18, max: 110 });
const sex = column({ type: "code", codes: { 0: "female", 1: "male" } });
const dose = column({ unit: "mg" });
const app = { name: "heart", version: "1.0.0", columns: { age, sex, dose } } as unknown as Description;

describe("a question", () => {
  it("asks of a column what it can: a mean where the contract has bounds, codes by code, groups alone where it has none", () => {
    expect(chosen(age)).toMatchObject({ moments: true, grouping: "plain" });
    expect(chosen(sex)).toMatchObject({ moments: false, grouping: "plain" });
    expect(chosen(dose)).toMatchObject({ moments: false, grouping: "cut" });
    expect(trouble(dose, chosen(dose))).toContain("Say where groups end");
    expect(trouble(age, { ...chosen(age), moments: false })).toBe("Choose what is asked of it");
  });

  it("reads limits in increasing order, and nothing else", () => {
    expect(limits("40/60")).toEqual([40, 60]);
    expect(limits("-1.5; 2")).toEqual([-1.5, 2]);
    for (const text of ["", "60/40", "40/40", "4x"]) expect(limits(text)).toBeNull();
  });

  it("cuts a range into groups of equal width, whole numbers at whole ones, halves at the even one", () => {
    expect(edges(column({ min: 0, max: 1 }), 4)).toEqual([0.25, 0.5, 0.75]);
    expect(edges(column({ type: "integer", min: 0, max: 5 }), 2)).toEqual([2]);
    expect(edges(column({ type: "integer", min: 0, max: 7 }), 2)).toEqual([4]);
    expect(trouble(column({ type: "integer", min: 0, max: 3 }), { ...chosen(age), grouping: "histogram", bins: 9 })).toContain("no whole number");
    expect(trouble(dose, { ...chosen(dose), grouping: "histogram" })).toContain("no least and no largest");
  });

  it("becomes a query by name, with what the contract says of each column", () => {
    const asked = { ...question(["b", "a"], ""), columns: { sex: chosen(sex), age: { ...chosen(age), quartiles: true, grouping: "cut" as const, cuts: "40/60" } }, tables: [["sex", "age"] as const] };
    expect(queryOf(asked, app)).toEqual({
      columns: [
        { name: "age", unit: "years", whole: true, minimum: 18, maximum: 110, codes: [], moments: true, quantiles: [0.25, 0.5, 0.75], cuts: [40, 60] },
        { name: "sex", unit: "", whole: false, minimum: null, maximum: null, codes: [{ value: 0, meaning: "female" }, { value: 1, meaning: "male" }], moments: false, quantiles: [], cuts: [] },
      ],
      tables: [{ rows: "sex", columns: "age" }],
      min_cell: 5,
      noise: null,
    });
    const plan = planOf(asked, app, "blake3:0");
    expect(plan).toMatchObject({ name: "statistics of heart", hyper: {}, rounds: 1, silos: ["a", "b"], quorum: 2, masking: { max_weight: 2 ** 24 } });
    expect(command(asked, app, ["a", "b"])).toBe("septum stats run heart==1.0.0 --columns age,sex --quantiles age --cut age:40/60 --table sex,age");
  });

  it("has with noise no hidden counts, fewer bins, and shares that it tells", () => {
    const asked = { ...question(["a", "b"], "p"), columns: { age: { ...chosen(age), quartiles: true } }, epsilon: 2 as const, quorum: 2 };
    const query = queryOf(asked, app);
    expect(query).toMatchObject({ min_cell: 1, noise: { epsilon: 2, delta: 1e-5 }, columns: [{ finest: 64 }] });
    expect(shares(query)).toBe(5); // rows, present, sum, squares, quantiles
    expect(command(asked, app, ["a", "b", "c"])).toBe("septum stats run heart==1.0.0 --columns age --quantiles age --epsilon 2 --project p --silos a,b --quorum 2");
  });

  it("says what cannot be asked for of small counts", () => {
    const asked = question(["a", "b"], "");
    expect([5, 1, 3, 1000].map((minCell) => unfit({ ...asked, minCell }))).toEqual(["", "", "", ""]);
    for (const minCell of [0, 2, 1001, Number.NaN]) expect(unfit({ ...asked, minCell })).toContain("3 to 1000");
    for (const epsilon of [0, 21, Number.NaN]) expect(unfit({ ...asked, epsilon })).toBe("Epsilon is 0.01 to 20");
    expect(unfit({ ...asked, epsilon: 1, delta: 1 })).toContain("Delta");
  });

  it("has as sides of a table what has groups", () => {
    expect([grouped(sex, chosen(sex)), grouped(age, chosen(age)), grouped(age, { ...chosen(age), grouping: "histogram" })]).toEqual([true, false, true]);
  });
});
