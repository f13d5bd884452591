/** How does somebody come in? A password, a code where one is asked for, an invitation, or the identity provider. */
import { Alert, Button, Center, Divider, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { useLocation, useNavigate } from "react-router";
import { ApiError, api, told } from "../api/client";
import { useSession } from "../api/session";
import { Failure } from "../components/Bits";
import { keepPlace, refusal, takePlace } from "../lib/place";

const MIN_CHARS = 12;

/** What an invitation's link says, behind its `#`, which no server sees. */
export function invitationIn(hash: string): { name: string; password: string } | null {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const [name, password] = [said.get("name") ?? "", said.get("password") ?? ""];
  return name && password ? { name, password } : null;
}

export function SignIn() {
  const { pathname, search, hash } = useLocation();
  const navigate = useNavigate();
  const { ended, signedIn } = useSession();
  const [invited] = useState(() => (pathname === "/invitation" ? invitationIn(hash) : null));
  const [name, setName] = useState(invited?.name ?? "");
  const [password, setPassword] = useState(invited?.password ?? "");
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const [code, setCode] = useState("");
  const [wants, setWants] = useState<"password" | "new" | "code">(invited ? "new" : "password");
  const [refused] = useState(() => refusal(new URLSearchParams(search).get("refused")));
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const provider = useQuery({
    queryKey: ["session", "provider"],
    queryFn: () => told(api.GET("/api/v1/oidc")),
    staleTime: Infinity,
  });

  useEffect(() => {
    document.title = "Sign in · septum";
    if (invited) window.history.replaceState(null, "", "/invitation"); // the password leaves the address bar
  }, [invited]);

  async function send(event: FormEvent): Promise<void> {
    event.preventDefault();
    setError(null);
    setBusy(true);
    try {
      await told(
        api.POST("/api/v1/session", {
          body: { name, password, code, new_password: wants === "new" ? fresh : "", cookie: true },
        }),
      );
      takePlace(); // of a sign-in by the provider that was given up
      await signedIn();
      if (pathname === "/invitation") await navigate("/", { replace: true });
    } catch (raised) {
      const kind = raised instanceof ApiError ? raised.code : "";
      if (kind === "password_change") setWants("new");
      else if (kind === "second_factor" && wants !== "code") setWants("code");
      else setError(raised);
      if (kind === "auth" && invited) setWants("password");
    } finally {
      setBusy(false);
    }
  }

  async function byProvider(): Promise<void> {
    setError(null);
    try {
      const { url } = await told(api.POST("/api/v1/oidc/begin", { body: invited ?? { name: "", password: "" } }));
      const refusedBefore = new URLSearchParams(search).has("refused");
      if (!invited && !refusedBefore) keepPlace(pathname + search);
      window.location.assign(url);
    } catch (raised) {
      setError(raised);
    }
  }

  const short = wants === "new" && fresh.length > 0 && fresh.length < MIN_CHARS;
  const differs = wants === "new" && again.length > 0 && again !== fresh;
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder p="xl" w="100%" maw={400} shadow="sm">
        <Stack gap="lg">
          <Stack gap={4} align="center">
            <img src="/favicon.svg" width={44} height={44} alt="" />
            <Title order={1} size="h3">
              {wants === "new" ? "Choose a password" : wants === "code" ? "Second factor" : "Sign in to septum"}
            </Title>
            {wants === "new" && (
              <Text size="sm" c="dimmed" ta="center">
                {invited ? `Welcome, ${name}.` : "This was a one-time password."} Choose one of your own; it is asked for from
                now on.
              </Text>
            )}
          </Stack>
          {refused && (
            <Alert color="red" variant="light" role="alert">
              {refused}
            </Alert>
          )}
          {ended && wants === "password" && (
            <Alert color="yellow" variant="light" role="status">
              Your session has ended. Sign in again, and you are where you were.
            </Alert>
          )}
          <form onSubmit={(event) => void send(event)} aria-label="Sign in">
            <Stack gap="sm">
              {wants === "password" && (
                <>
                  <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} autoComplete="username" autoCapitalize="none" autoFocus required withAsterisk={false} />
                  <PasswordInput label="Password" value={password} onChange={(event) => setPassword(event.currentTarget.value)} autoComplete="current-password" required withAsterisk={false} visibilityToggleButtonProps={{ "aria-label": "Show the password" }} />
                </>
              )}
              {wants === "new" && (
                <>
                  <input type="hidden" name="username" value={name} autoComplete="username" />
                  <PasswordInput label="New password" description={`At least ${MIN_CHARS} characters`} value={fresh} onChange={(event) => setFresh(event.currentTarget.value)} autoComplete="new-password" error={short ? "This is too short" : undefined} autoFocus required withAsterisk={false} visibilityToggleButtonProps={{ "aria-label": "Show the new password" }} />
                  <PasswordInput label="Once more" value={again} onChange={(event) => setAgain(event.currentTarget.value)} autoComplete="new-password" error={differs ? "The two differ" : undefined} required withAsterisk={false} visibilityToggleButtonProps={{ "aria-label": "Show it" }} />
                </>
              )}
              {wants === "code" && (
                <TextInput label="Code" description="Of your authenticator program, or a recovery code" value={code} onChange={(event) => setCode(event.currentTarget.value)} autoComplete="one-time-code" inputMode="numeric" autoFocus required withAsterisk={false} />
              )}
              <Failure error={error} />
              <Button type="submit" loading={busy} disabled={wants === "new" && (fresh.length < MIN_CHARS || again !== fresh)} fullWidth mt="xs">
                {wants === "new" ? "Keep it and sign in" : "Sign in"}
              </Button>
              {wants === "code" && (
                <Button variant="subtle" onClick={() => { setWants("password"); setCode(""); setError(null); }}>
                  Back
                </Button>
              )}
            </Stack>
          </form>
          {provider.data?.issuer && (
            <>
              <Divider label="or" />
              <Button variant="default" fullWidth onClick={() => void byProvider()}>
                Sign in with {new URL(provider.data.issuer).host}
              </Button>
            </>
          )}
        </Stack>
      </Paper>
    </Center>
  );
}
