/** What stands around every page? Where one can go, who one is, and whether the coordinator answers. */
import { ActionIcon, Affix, Alert, AppShell, Avatar, Burger, Group, Menu, NavLink, Text, Tooltip, VisuallyHidden, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Link, useLocation, useNavigate } from "react-router";
import { connection } from "../api/connection";
import { useFeed } from "../api/feed";
import { ENDED, runQuery } from "../api/queries";
import { type Right, useSession } from "../api/session";
import { Boundary } from "./Boundary";
import { Keys } from "./Keys";

type Place = { to: string; label: string; right: Right | null };
const PLACES: readonly Place[] = [
  { to: "/", label: "Home", right: null },
  { to: "/runs", label: "Runs", right: "run.read" },
  { to: "/statistics", label: "Statistics", right: "run.read" },
  { to: "/models", label: "Models", right: "model.read" },
  { to: "/silos", label: "Silos", right: "silo.read" },
  { to: "/projects", label: "Projects", right: "project.read" },
  { to: "/apps", label: "Apps", right: "app.read" },
  { to: "/roster", label: "Roster", right: "roster.read" },
  { to: "/activity", label: "Activity", right: null },
  { to: "/audit", label: "Audit", right: "audit.read" },
  { to: "/people", label: "People", right: "user.read" },
];

export function Shell({ children }: { children: ReactNode }) {
  const [open, { toggle, close }] = useDisclosure();
  const { pathname } = useLocation();
  const { can } = useSession();
  const places = PLACES.filter((place) => place.right === null || can(place.right));
  useEffect(close, [pathname, close]);
  const run = /^\/(?:runs|statistics)\/(r-[^/]+)/.exec(pathname)?.[1];
  const known = useQuery({ ...runQuery(run ?? ""), enabled: false }); // as its page has asked
  const ended = known.data !== undefined && ENDED.includes(known.data.status);
  useFeed(!run || ended); // the page of a run at work listens to its journal instead: browsers have few connections
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 190, breakpoint: "sm", collapsed: { mobile: !open } }}
      padding={{ base: "md", sm: "xl" }}
    >
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={open} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Menu" />
            <Link to="/" aria-label="septum, home" style={{ display: "flex", gap: 8, alignItems: "center", color: "inherit", textDecoration: "none" }}>
              <img src="/favicon.svg" width={24} height={24} alt="" />
              <Text fw={700}>septum</Text>
            </Link>
          </Group>
          <Group gap="xs" wrap="nowrap">
            <Keys places={places} />
            <Scheme />
            <Me />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label="Pages">
        {places.map((place) => (
          <NavLink
            key={place.to}
            component={Link}
            to={place.to}
            label={place.label}
            active={place.to === "/" ? pathname === "/" : pathname.startsWith(place.to)}
            aria-current={pathname === place.to ? "page" : undefined}
          />
        ))}
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <Banner />
        <Boundary at={pathname}>{children}</Boundary>
      </AppShell.Main>
    </AppShell>
  );
}

/** Whether the coordinator answers; once it does again, everything on the page is asked for anew. */
function Banner() {
  const { up, since } = useSyncExternalStore(connection.subscribe, connection.get);
  const queries = useQueryClient();
  const wasDown = useRef(false);
  const [back, setBack] = useState(false);
  useEffect(() => {
    if (!up) {
      wasDown.current = true;
      return;
    }
    if (!wasDown.current) return;
    wasDown.current = false;
    void queries.invalidateQueries();
    setBack(true);
    const timer = setTimeout(() => setBack(false), 4_000);
    return () => clearTimeout(timer);
  }, [up, queries]);
  if (up && !back) return null;
  return (
    <Affix position={{ top: 60, left: 0, right: 0 }} zIndex={150}>
      <Alert color={up ? "teal" : "orange"} variant="filled" autoContrast maw={620} mx="auto" py="xs" role="status" data-testid="connection">
        {up
          ? "The coordinator answers again."
          : `The coordinator has not answered since ${new Date(since).toLocaleTimeString()}. It is asked again by itself; what you see is from before.`}
      </Alert>
    </Affix>
  );
}

function Scheme() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light") === "dark";
  const turn = (): void => setColorScheme(dark ? "light" : "dark");
  useHotkeys([["mod+J", turn]]);
  const label = dark ? "Light colours" : "Dark colours";
  return (
    <Tooltip label={`${label} (Ctrl J)`}>
      <ActionIcon variant="subtle" color="gray" onClick={turn} aria-label={label} size="lg">
        <svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden>
          {dark ? (
            <>
              <circle cx="9" cy="9" r="3.4" />
              <path d="M9 1.5v2M9 14.5v2M1.5 9h2M14.5 9h2M3.7 3.7l1.4 1.4M12.9 12.9l1.4 1.4M3.7 14.3l1.4-1.4M12.9 5.1l1.4-1.4" />
            </>
          ) : (
            <path d="M15 10.5A6.5 6.5 0 1 1 7.5 3 5.2 5.2 0 0 0 15 10.5z" />
          )}
        </svg>
      </ActionIcon>
    </Tooltip>
  );
}

function Me() {
  const { who, signOut } = useSession();
  const navigate = useNavigate();
  if (!who) return null;
  return (
    <Menu position="bottom-end" width={220}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" radius="xl">
          <VisuallyHidden>Your menu</VisuallyHidden>
          <Avatar size={30} name={who.full_name || who.name} color="cyan" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {who.full_name || who.name}
          <br />
          {who.name} · {who.organisation}
        </Menu.Label>
        <Menu.Item onClick={() => void navigate("/account")}>Your account</Menu.Item>
        <Menu.Item
          onClick={() => {
            void signOut().then(() => navigate("/"));
          }}
        >
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
