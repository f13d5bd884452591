/** How does one get around by keyboard? `Ctrl K` opens a list of everything that can be gone to, found by typing. */
import { Button, Kbd, Modal, ScrollArea, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useDebouncedValue, useDisclosure, useHotkeys } from "@mantine/hooks";
import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { useFound } from "../api/found";
import { useSession } from "../api/session";
import { type Goal, sought } from "../lib/goals";

type Place = { to: string; label: string };
const PAUSE_MS = 150;

export function Keys({ places }: { places: readonly Place[] }) {
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

/** One is there as soon as this is shown. */
function Arrive({ to, close }: { to: string; close: () => void }) {
  const navigate = useNavigate();
  useEffect(() => {
    close();
    void navigate(to);
  }, [to, close, navigate]);
  return null;
}

function Palette({ places, close }: { places: readonly Place[]; close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [entered, setEntered] = useState(false);
  const [settled] = useDebouncedValue(text, PAUSE_MS);
  const navigate = useNavigate();
  const { can } = useSession();
  const list = useId();
  const wanted = sought(settled);
  const { goals, busy } = useFound(wanted);
  const fixed: Goal[] = places.map((place) => ({ ...place, kind: "page" }));
  if (can("run.submit")) fixed.push({ to: "/runs/new", label: "New run", kind: "action" }, { to: "/statistics/new", label: "Ask for statistics", kind: "action" });
  const here = fixed.filter((goal) => (!wanted.kind || goal.kind === wanted.kind) && goal.label.toLowerCase().includes(wanted.text.toLowerCase()));
  const found = [...here, ...goals];
  const chosen = Math.max(0, Math.min(at, found.length - 1));
  const row = useRef<HTMLButtonElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []); // at once: a modal gives the focus once it has moved in, and letters typed before that are lost
  useEffect(() => {
    row.current?.scrollIntoView({ block: "nearest" }); // of some browsers it gives a promise, which is no cleanup
  }, [chosen]);
  const go = (goal: Goal): void => {
    close();
    void navigate(goal.to);
  };
  const current = text === settled && !busy; // else the list is still that of what was typed before
  const key = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, found.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
    else if (event.key === "Enter") setEntered(true);
    else return;
    event.preventDefault();
  };
  const goal = found[chosen];
  return (
    <Stack gap="xs">
      {entered && current && goal && <Arrive to={goal.to} close={close} />}
      <TextInput
        data-autofocus
        ref={field}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
          setEntered(false);
        }}
        onKeyDown={key}
        placeholder="A page, a run, a silo, an app, a model"
        aria-label="What to go to"
        role="combobox"
        aria-expanded
        aria-controls={list}
        aria-activedescendant={found.length ? `${list}-${chosen}` : undefined}
        maxLength={200}
      />
      <ScrollArea.Autosize mah={360}>
        <div role="listbox" id={list} aria-label="What there is" aria-busy={busy}>
          {found.map((goal, index) => (
            <UnstyledButton
              key={`${goal.kind} ${goal.to}`}
              ref={index === chosen ? row : undefined}
              id={`${list}-${index}`}
              role="option"
              aria-selected={index === chosen}
              tabIndex={-1}
              onClick={() => go(goal)}
              w="100%"
              p="xs"
              bg={index === chosen ? "var(--mantine-color-default-hover)" : undefined}
              style={{ borderRadius: 6, display: "flex", justifyContent: "space-between", gap: 12 }}
            >
              <Text size="sm" truncate>
                {goal.label}
                {goal.more && (
                  <Text span size="xs" c="dimmed">
                    {" "}
                    {goal.more}
                  </Text>
                )}
              </Text>
              <Text size="xs" c="dimmed">
                {goal.kind}
              </Text>
            </UnstyledButton>
          ))}
        </div>
        {!found.length && !busy && (
          <Text size="sm" c="dimmed" p="xs">
            Nothing has that name.
          </Text>
        )}
      </ScrollArea.Autosize>
    </Stack>
  );
}
