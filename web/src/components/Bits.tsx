/** The small things that every page shows: failures with what to do next, empty states, commands, times, statuses. */
import { ActionIcon, Alert, Badge, Box, Button, Code, CopyButton, Group, Paper, Skeleton, Stack, Text, Title, Tooltip } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { ApiError } from "../api/client";
import type { Silo, Status } from "../api/queries";
import { ago, exactly, short, when } from "../lib/format";

/** What went wrong, and what to do next. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  const known = error instanceof ApiError;
  return (
    <Alert color="red" variant="light" role="alert" title={known ? undefined : "The coordinator does not answer"}>
      <Text size="sm" className="wrap-anywhere">
        {known ? error.message : "It is asked again by itself."}
      </Text>
      {known && error.hint && (
        <Text size="sm" mt={4} className="wrap-anywhere">
          Next: <Code>{error.hint}</Code>
        </Text>
      )}
      {retry && (
        <Button size="compact-sm" variant="light" color="red" mt="xs" onClick={retry}>
          Try again
        </Button>
      )}
    </Alert>
  );
}

/** A framed part of a page, under its own title. */
export function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Paper withBorder p="md" component="section" aria-label={title}>
      <Title order={2} size="h5" mb="sm">
        {title}
      </Title>
      {children}
    </Paper>
  );
}

/** A command to take along. */
export function Command({ children, secret = false }: { children: string; secret?: boolean }) {
  return (
    <Group gap={4} wrap="nowrap" align="flex-start">
      <Code block className="wrap-anywhere" style={{ flex: 1, whiteSpace: "pre-wrap" }} tabIndex={0}>
        {children}
      </Code>
      <Copy text={children} label={secret ? "Copy; it is shown this once" : "Copy"} />
    </Group>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "Copied" : label}>
          <ActionIcon variant="subtle" color={copied ? "teal" : "gray"} onClick={copy} aria-label={copied ? "Copied" : label}>
            <svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" aria-hidden>
              {copied ? (
                <path d="M3 8.5l3.2 3L13 4.5" />
              ) : (
                <>
                  <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
                  <path d="M10.5 3.5a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1" />
                </>
              )}
            </svg>
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** Nothing is here yet: why, what to do, and the command for the same thing. */
export function Empty({ title, children, command, action }: { title: string; children: ReactNode; command?: string; action?: ReactNode }) {
  return (
    <Paper withBorder p="xl">
      <Stack gap="sm" maw={620} mx="auto" align="stretch">
        <Title order={2} size="h4" ta="center">
          {title}
        </Title>
        <Text c="dimmed" ta="center">
          {children}
        </Text>
        {action && (
          <Group justify="center" mt="xs">
            {action}
          </Group>
        )}
        {command && (
          <Box mt="xs">
            <Text size="sm" c="dimmed" mb={4}>
              At a shell:
            </Text>
            <Command>{command}</Command>
          </Box>
        )}
      </Stack>
    </Paper>
  );
}

const RUN_COLOURS: Record<Status, string> = {
  queued: "gray",
  gathering: "indigo",
  preparing: "indigo",
  training: "blue",
  evaluating: "blue",
  paused: "yellow",
  finished: "teal",
  stopped: "gray",
  failed: "red",
};

export function RunStatus({ status }: { status: Status }) {
  return (
    <Badge color={RUN_COLOURS[status]} variant="light" tt="none" autoContrast={false}>
      {status}
    </Badge>
  );
}

const SILO_COLOURS: Record<Silo["status"], string> = {
  invited: "indigo",
  online: "teal",
  offline: "red",
  paused: "yellow",
  revoked: "gray",
};

export function SiloStatus({ status }: { status: Silo["status"] }) {
  return (
    <Badge color={SILO_COLOURS[status]} variant="light" tt="none">
      {status}
    </Badge>
  );
}

/** A point in time; how long ago, or the day. The whole of it, with the zone, on pointing at it: that is made then, since tables have many. */
export function When({ unix, relative = false }: { unix: number; relative?: boolean }) {
  const [pointed, setPointed] = useState<HTMLElement | null>(null);
  return (
    <time
      dateTime={unix ? new Date(unix * 1000).toISOString() : undefined}
      style={{ whiteSpace: "nowrap" }}
      onPointerEnter={(event) => setPointed(event.currentTarget)}
      onPointerLeave={() => setPointed(null)}
    >
      {relative ? ago(unix) : when(unix)}
      {pointed && <Tooltip target={pointed} label={exactly(unix)} opened />}
    </time>
  );
}

export function Digest({ digest }: { digest: string }) {
  return (
    <Group gap={2} wrap="nowrap" component="span" display="inline-flex">
      <Tooltip label={<span className="wrap-anywhere">{digest}</span>} multiline maw={420}>
        <span className="mono">{short(digest)}</span>
      </Tooltip>
      <Copy text={digest} label="Copy the digest" />
    </Group>
  );
}

/** A page's name, beside what may be done on it. Also the document's title. */
export function Heading({ title, shown, children, below }: { title: string; shown?: ReactNode; children?: ReactNode; below?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · septum`;
  }, [title]);
  return (
    <Box mb="lg">
      <Group justify="space-between" align="flex-start" gap="sm">
        <Box flex={below ? "1 1 300px" : undefined}>
          <Group gap="sm" align="center">
            <Title order={1} size="h2" className="wrap-anywhere">
              {title}
            </Title>
            {shown}
          </Group>
          {below && (
            <Text component="div" size="sm" c="dimmed" mt={4}>
              {below}
            </Text>
          )}
        </Box>
        <Group gap="xs">{children}</Group>
      </Group>
    </Box>
  );
}

export function Waiting({ lines = 5 }: { lines?: number }) {
  return (
    <Stack gap="sm" aria-busy="true" aria-label="Loading">
      {Array.from({ length: lines }, (_, line) => (
        <Skeleton key={line} height={34} />
      ))}
    </Stack>
  );
}

/** A name and a value, one below the other. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <Box>
      <Text size="xs" c="dimmed" component="dt">
        {name}
      </Text>
      <Text size="sm" component="dd" m={0} className="wrap-anywhere">
        {children}
      </Text>
    </Box>
  );
}
