/** What did the silos tell of a run's log? Lines by silo, level and round, the newest last, and new ones as they come. */
import { Badge, Box, Button, Group, Paper, Select, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useSearchParams } from "react-router";
import { api, type Schemas, told } from "../../api/client";
import type { Run } from "../../api/queries";
import { ENDED, Empty, Failure, Waiting } from "../../components/Bits";

type Level = Schemas["LogLevel"];
const LEVELS: Level[] = ["debug", "info", "warning", "error"];
const COLOURS: Record<Level, string> = { debug: "gray", info: "blue", warning: "yellow", error: "red" };
const LINES = 500;
const FRESH_MS = 2_000;

export function Logs({ run }: { run: Run }) {
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState(query.get("text") ?? "");
  const [wanted] = useDebouncedValue(text, 300);
  const [silo, level, round] = [query.get("silo") ?? "", (query.get("level") ?? "info") as Level, query.get("round")];
  const change = (name: string, value: string | null): void => {
    const next = new URLSearchParams(query);
    if (value) next.set(name, value);
    else next.delete(name);
    setQuery(next, { replace: true });
  };
  useEffect(() => {
    setQuery(
      (before) => {
        const next = new URLSearchParams(before);
        if (wanted) next.set("text", wanted);
        else next.delete("text");
        return next;
      },
      { replace: true },
    );
  }, [wanted, setQuery]);
  const filtered = Boolean(silo || round || wanted || level !== "info");
  const lines = useQuery({
    queryKey: ["logs", run.id, silo, level, round, wanted],
    queryFn: () =>
      told(
        api.GET("/api/v1/runs/{run_id}/logs", {
          params: { path: { run_id: run.id }, query: { silo, level, text: wanted, limit: LINES, ...(round ? { round: Number(round) } : {}) } },
        }),
      ),
    refetchInterval: ENDED.includes(run.status) ? false : FRESH_MS,
    placeholderData: (old) => old,
  });
  return (
    <Stack>
      <Group gap="sm">
        <Select aria-label="Silo" placeholder="Every silo" data={run.silos.map((one) => one.name)} value={silo || null} onChange={(value) => change("silo", value)} clearable w={{ base: "100%", sm: 190 }} />
        <Select aria-label="Level" data={LEVELS.map((one) => ({ value: one, label: one === "error" ? "errors" : `${one} and above` }))} value={level} onChange={(value) => change("level", value)} allowDeselect={false} w={{ base: "100%", sm: 190 }} />
        <TextInput aria-label="Text" placeholder="With this text" value={text} onChange={(event) => setText(event.currentTarget.value)} w={{ base: "100%", sm: 220 }} />
        {round && (
          <Button variant="default" onClick={() => change("round", null)}>
            Round {round} only: all rounds
          </Button>
        )}
      </Group>
      <Failure error={lines.error} retry={() => void lines.refetch()} />
      {lines.isPending && <Waiting />}
      {lines.data?.items.length === 0 && (
        <Empty title={filtered ? "No line is like this" : "No silo has told a line"} command={`septum log show ${run.id}`}>
          {filtered ? "Other filters find others." : "A steward decides whether, and from which level on, lines of a run leave the silo."}
        </Empty>
      )}
      {lines.data && lines.data.items.length > 0 && (
        <Paper withBorder p="sm" style={{ overflowX: "auto" }} tabIndex={0} aria-label="Lines of the log" component="section">
          {lines.data.items.map((line) => (
            <Group key={line.seq} gap="sm" wrap="nowrap" align="baseline" py={1}>
              <Text size="xs" c="dimmed" style={{ whiteSpace: "nowrap" }} title={new Date(line.at * 1000).toString()}>
                {new Date(line.at * 1000).toLocaleTimeString()}
              </Text>
              <Box w={72} style={{ flexShrink: 0 }}>
                <Badge size="xs" color={COLOURS[line.level]} variant="light" tt="none">
                  {line.level}
                </Badge>
              </Box>
              <Text size="xs" w={110} style={{ flexShrink: 0 }} truncate title={`${line.silo}, ${line.origin}`}>
                {line.silo}
              </Text>
              <Text size="xs" className="mono wrap-anywhere" style={{ whiteSpace: "pre-wrap" }}>
                {line.text}
              </Text>
            </Group>
          ))}
        </Paper>
      )}
      {lines.data?.next && (
        <Text size="sm" c="dimmed">
          The first {LINES} lines that fit. More: <span className="mono">septum log show {run.id}</span>
        </Text>
      )}
    </Stack>
  );
}
