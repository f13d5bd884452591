/** What did the silos tell of a run's log? Lines by silo, level and round, the newest last, and new ones as they come. */
import { Badge, Button, Group, Select, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { memo, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { everyLine, useLog } from "../../api/logs";
import { ENDED, type Run } from "../../api/queries";
import { Empty, Failure, Waiting } from "../../components/Bits";
import { beside, Sought } from "../../components/Sought";
import { clock, exactly, quoted } from "../../lib/format";
import { dropped, LEVELS, type Line, type Wanted, wantedIn, written } from "../../lib/lines";
import { save } from "../../lib/save";

const NEAR_PX = 40; // of the end: whoever is there follows

/** The command that shows the same. */
export function commandOf(run: string, { silo, level, round, text }: Wanted): string {
  const given = [["--silo", silo], ["--level", level], ["--round", round], ["--text", text]];
  return [`septum log show ${run}`, ...given.filter(([, value]) => value).map(([name, value]) => `${name} ${quoted(value ?? "")}`)].join(" ");
}

export function Logs({ run }: { run: Run }) {
  const [query, setQuery] = useSearchParams();
  const wanted = wantedIn(query);
  const ended = ENDED.includes(run.status);
  const [stoppedAt, setStoppedAt] = useState<number | null>(null); // the last line that is shown while nothing is to move
  const reading = useRef(false);
  const log = useLog(run.id, wanted, ended, reading);
  const take = useMutation({ mutationFn: async () => save(`${run.id}.log`, new Blob([written(await everyLine(run.id, wanted))], { type: "text/plain" })) });
  const lines = log.shown?.lines;
  const seen = useMemo(() => (stoppedAt === null || ended ? lines : lines?.filter((one) => one.seq <= stoppedAt)), [lines, stoppedAt, ended]);
  const waiting = (lines?.length ?? 0) - (seen?.length ?? 0);
  const filtered = Boolean(wanted.silo || wanted.round || wanted.text || wanted.level !== "info");
  const stop = (at: number | null): void => {
    reading.current = at !== null;
    setStoppedAt(at);
  };
  const pause = (): void => stop(lines?.at(-1)?.seq ?? 0);
  const change = (name: string, value: string | null, replace = false): void => {
    const next = new URLSearchParams(query);
    if (value) next.set(name, value);
    else next.delete(name);
    stop(null);
    setQuery(next, { replace });
  };
  return (
    <Stack>
      <Group gap="sm">
        <Select aria-label="Silo" placeholder="Every silo" data={run.silos.map((one) => one.name)} value={wanted.silo || null} onChange={(value) => change("silo", value)} clearable w={beside(170, "xs")} />
        <Select aria-label="Level" data={LEVELS.map((one) => ({ value: one, label: one === "error" ? "errors" : `${one} and above` }))} value={wanted.level} onChange={(value) => change("level", value)} allowDeselect={false} w={beside(180, "xs")} />
        <Sought aria-label="Round" placeholder="Every round" inputMode="numeric" value={wanted.round} set={(value) => change("round", value.replace(/\D/g, "").slice(0, 6), true)} w={beside(120, "xs")} />
        <Sought aria-label="Text" placeholder="With this text" maxLength={200} value={wanted.text} set={(value) => change("text", value, true)} w={beside(200, "xs")} />
        {seen && seen.length > 0 && (
          <Button variant="default" onClick={() => take.mutate()} loading={take.isPending}>
            Download
          </Button>
        )}
        {!ended && log.shown && (
          <Group gap="sm" ml="auto">
            <Badge variant="dot" color={log.mode === "live" && stoppedAt === null ? "teal" : "orange"} tt="none" data-testid="log-mode">
              {stoppedAt !== null ? "not followed" : { live: "live", polling: "asked every 2 s", broken: "trying again", ended: "ended" }[log.mode]}
            </Badge>
            {stoppedAt === null ? (
              <Button variant="default" size="compact-md" onClick={pause}>
                Stop following
              </Button>
            ) : (
              <Button size="compact-md" onClick={() => stop(null)}>
                {waiting ? `Follow: ${waiting} new` : "Follow"}
              </Button>
            )}
          </Group>
        )}
      </Group>
      <Failure error={log.error} retry={log.again} />
      <Failure error={take.error} />
      {!log.shown && !log.error && <Waiting />}
      {seen?.length === 0 && (
        <Empty title={filtered ? "No line is like this" : "No silo has told a line"} command={commandOf(run.id, wanted)}>
          {filtered ? "Other filters find others." : "A steward decides whether, and from which level on, lines of a run leave the silo."}
        </Empty>
      )}
      {seen && seen.length > 0 && <Paper lines={seen} earlier={log.shown?.earlier ? log.earlier : null} following={stoppedAt === null} away={pause} />}
    </Stack>
  );
}

/** The lines, which move to the newest while it is followed; whoever scrolls up is `away`. */
function Paper({ lines, earlier, following, away }: { lines: readonly Line[]; earlier: (() => Promise<void>) | null; following: boolean; away: () => void }) {
  const box = useRef<HTMLElement>(null);
  const was = useRef({ first: 0, height: 0, top: 0 });
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const first = lines[0]?.seq ?? 0;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (following) element.scrollTop = element.scrollHeight;
    else if (first < was.current.first) element.scrollTop += element.scrollHeight - was.current.height;
    was.current = { first, height: element.scrollHeight, top: element.scrollTop };
  }, [lines, first, following]);
  const scrolled = (): void => {
    const element = box.current;
    if (!element) return;
    const below = element.scrollHeight - element.clientHeight - element.scrollTop;
    if (following && below > NEAR_PX && element.scrollTop < was.current.top) away();
    was.current.top = element.scrollTop;
  };
  const ask = (): void => {
    if (!earlier) return;
    if (following) away();
    setAsking(true);
    setProblem(null);
    earlier()
      .catch(setProblem)
      .finally(() => setAsking(false));
  };
  return (
    <>
      <Failure error={problem} />
      <section ref={box} className="log" tabIndex={0} aria-label="Lines of the log" onScroll={scrolled}>
        {earlier && (
          <Group justify="center" pb="xs">
            <Button variant="subtle" size="compact-sm" onClick={ask} loading={asking}>
              Earlier lines
            </Button>
          </Group>
        )}
        {lines.map((line) => (
          <Row key={line.seq} line={line} />
        ))}
      </section>
    </>
  );
}

const Row = memo(function Row({ line }: { line: Line }) {
  const gap = dropped(line);
  const time = new Date(line.at * 1000);
  if (gap)
    return (
      <div className="log-gap">
        <Text size="xs" component="span">
          {gap}
        </Text>
      </div>
    );
  return (
    <div className="log-line" data-level={line.level}>
      <time dateTime={time.toISOString()} title={exactly(line.at)}>
        {clock(line.at)}
      </time>
      <span className="log-level">{line.level}</span>
      <span className="log-silo" title={`${[line.silo, line.origin].filter(Boolean).join(", ")}, round ${line.round}`}>
        {line.silo || "coordinator"}
      </span>
      <span className="log-text">{line.text}</span>
    </div>
  );
});
