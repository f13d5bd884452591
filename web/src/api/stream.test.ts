import { describe, expect, it } from "vitest";
import { split } from "./stream";

describe("server-sent events", () => {
  it("are cut at empty lines, and what is not whole is kept", () => {
    const { events, rest } = split('id: 1\ndata: {"a":1}\n\nid: 2\ndata: {"b"');
    expect(events).toEqual([{ id: "1", data: '{"a":1}' }]);
    expect(rest).toBe('id: 2\ndata: {"b"');
  });

  it("come out the same wherever the network cuts them", () => {
    const text = "id: 1\ndata: one\n\n: nothing new\n\nid: 2\ndata: two\ndata: lines\n\n";
    const whole = split(text).events;
    for (let cut = 0; cut <= text.length; cut++) {
      const first = split(text.slice(0, cut));
      expect([...first.events, ...split(first.rest + text.slice(cut)).events]).toEqual(whole);
    }
    expect(whole.map((one) => one.data)).toEqual(["one", "two\nlines"]);
  });

  it("may end lines as on Windows", () => {
    expect(split("id: 7\r\ndata: x\r\n\r\n").events).toEqual([{ id: "7", data: "x" }]);
  });
});
