/** How does one get around by keyboard? `Ctrl K` opens a list of everything that can be gone to, found by typing. */
import { Button, Kbd, Modal, ScrollArea, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { type KeyboardEvent, useMemo, useState } from "react";
import { useNavigate } from "react-router";
import { useApps, useRuns, useSilos } from "../api/queries";
import { useVersions } from "../api/registered";
import { useSession } from "../api/session";

type Place = { to: string; label: string };
type Goal = Place & { kind: string };

export function Keys({ places }: { places: readonly (Place & { key: string })[] }) {
  const [open, { open: show, close }] = useDisclosure();
  useHotkeys([["mod+K", show]]);
  return (
    <>
      <Button variant="default" size="compact-md" c="dimmed" fw={400} onClick={show} rightSection={<Kbd size="xs">Ctrl K</Kbd>} visibleFrom="xs">
        Go to
      </Button>
      <Modal opened={open} onClose={close} title="Go to" yOffset="12vh" padding="md">
        {open && <Palette places={places} close={close} />}
      </Modal>
    </>
  );
}

function Palette({ places, close }: { places: readonly Place[]; close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const navigate = useNavigate();
  const { can } = useSession();
  const runs = useRuns({}, 50);
  const silos = useSilos(can("silo.read"));
  const apps = useApps(can("app.read"));
  const versions = useVersions("", can("model.read"));
  const found = useMemo(() => {
    const goals: Goal[] = places.map((place) => ({ ...place, kind: "page" }));
    if (can("run.submit")) goals.push({ to: "/runs/new", label: "New run", kind: "action" });
    for (const run of runs.data?.items ?? [])
      goals.push({ to: `/runs/${run.id}`, label: `${run.name} ${run.id}`, kind: "run" });
    for (const silo of silos.data ?? []) goals.push({ to: `/silos/${silo.name}`, label: silo.name, kind: "silo" });
    for (const app of apps.data ?? [])
      goals.push({ to: `/apps/${app.digest}`, label: `${app.name} ${app.version}`, kind: "app" });
    for (const name of new Set(versions.data?.map((one) => one.version.name))) goals.push({ to: `/models?name=${name}`, label: name, kind: "model" });
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return goals.filter((goal) => words.every((word) => `${goal.kind} ${goal.label}`.toLowerCase().includes(word))).slice(0, 40);
  }, [text, places, can, runs.data, silos.data, apps.data, versions.data]);
  const chosen = Math.min(at, found.length - 1);
  const go = (goal: Goal | undefined): void => {
    if (!goal) return;
    close();
    void navigate(goal.to);
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, found.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
    else if (event.key === "Enter") go(found[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <Stack gap="xs">
      <TextInput
        data-autofocus
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={key}
        placeholder="A page, a run, a silo, an app"
        aria-label="What to go to"
      />
      <ScrollArea.Autosize mah={360}>
        {found.map((goal, index) => (
          <UnstyledButton
            key={goal.to}
            onClick={() => go(goal)}
            w="100%"
            p="xs"
            bg={index === chosen ? "var(--mantine-color-default-hover)" : undefined}
            style={{ borderRadius: 6, display: "flex", justifyContent: "space-between", gap: 12 }}
          >
            <Text size="sm" truncate>
              {goal.label}
            </Text>
            <Text size="xs" c="dimmed">
              {goal.kind}
            </Text>
          </UnstyledButton>
        ))}
        {!found.length && (
          <Text size="sm" c="dimmed" p="xs">
            Nothing has that name.
          </Text>
        )}
      </ScrollArea.Autosize>
    </Stack>
  );
}
