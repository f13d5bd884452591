/** What is one's own? Who one is, one's password, one's second factor, and one's tokens. */
import { Badge, Button, Code, Group, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, type Schemas, told } from "../api/client";
import { useSession } from "../api/session";
import { Command, Failure, Heading } from "../components/Bits";
import { Qr } from "../components/Qr";
import { grantText } from "./People";
import { Tokens } from "./Tokens";

export function Account() {
  const { who } = useSession();
  if (!who) return null;
  return (
    <>
      <Heading title={who.full_name || who.name} below={`${who.name} · ${who.organisation}`} />
      <Stack maw={640} gap="lg">
        <Paper withBorder p="md">
          <Title order={2} size="h5" mb="xs">
            Your roles
          </Title>
          <Group gap="xs">
            {who.grants.map((grant) => (
              <Badge key={grantText(grant)} variant="default" tt="none" fw={500}>
                {grantText(grant)}
              </Badge>
            ))}
          </Group>
        </Paper>
        <Password />
        <SecondFactor on={who.totp} />
        <Tokens />
      </Stack>
    </>
  );
}

function Password() {
  const { signedIn } = useSession();
  const [password, setPassword] = useState("");
  const [fresh, setFresh] = useState("");
  const change = useMutation({
    mutationFn: () => told(api.PUT("/api/v1/account/password", { body: { password, new_password: fresh } })),
    onSuccess: signedIn, // all sessions have ended, this one as well
  });
  return (
    <Paper withBorder p="md">
      <form
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          change.mutate();
        }}
        aria-label="Change your password"
      >
        <Stack gap="sm">
          <Title order={2} size="h5">
            Change your password
          </Title>
          <Text size="sm" c="dimmed">
            It ends your sessions and tokens; sign in with the new one then.
          </Text>
          <PasswordInput label="Password now" value={password} onChange={(event) => setPassword(event.currentTarget.value)} autoComplete="current-password" visibilityToggleButtonProps={{ "aria-label": "Show the password" }} />
          <PasswordInput label="New password" description="At least 12 characters" value={fresh} onChange={(event) => setFresh(event.currentTarget.value)} autoComplete="new-password" visibilityToggleButtonProps={{ "aria-label": "Show the new password" }} />
          <Failure error={change.error} />
          <Group justify="flex-end">
            <Button type="submit" loading={change.isPending} disabled={!password || fresh.length < 12}>
              Change it
            </Button>
          </Group>
        </Stack>
      </form>
    </Paper>
  );
}

function SecondFactor({ on }: { on: boolean }) {
  const { signedIn } = useSession();
  const [offered, setOffered] = useState<Schemas["TotpView"] | null>(null);
  const [codes, setCodes] = useState<string[]>([]);
  const [code, setCode] = useState("");
  const [password, setPassword] = useState("");
  const offer = useMutation({ mutationFn: () => told(api.POST("/api/v1/account/totp")), onSuccess: setOffered });
  const confirm = useMutation({
    mutationFn: () => told(api.PUT("/api/v1/account/totp", { body: { secret: offered?.secret ?? "", code, password } })),
    onSuccess: (view) => setCodes(view.codes),
  });
  const off = useMutation({
    mutationFn: () => told(api.POST("/api/v1/account/totp/off", { body: { password } })),
    onSuccess: async () => {
      setPassword("");
      await signedIn();
    },
  });
  const own = <PasswordInput label="Your password" value={password} onChange={(event) => setPassword(event.currentTarget.value)} autoComplete="current-password" visibilityToggleButtonProps={{ "aria-label": "Show the password" }} />;
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <Group justify="space-between">
          <Title order={2} size="h5">
            Second factor
          </Title>
          <Badge color={on || codes.length ? "teal" : "gray"} variant="light" tt="none">
            {on || codes.length ? "on" : "off"}
          </Badge>
        </Group>
        {codes.length > 0 ? (
          <>
            <Text size="sm">Recovery codes, for the day on which it is lost. Each works once; they are shown this once:</Text>
            <Code block>{codes.join("\n")}</Code>
            <Group justify="flex-end">
              <Button onClick={() => void signedIn().then(() => setCodes([]))}>I have kept them</Button>
            </Group>
          </>
        ) : on ? (
          <>
            {own}
            <Failure error={off.error} />
            <Group justify="flex-end">
              <Button color="red" variant="light" disabled={!password} loading={off.isPending} onClick={() => off.mutate()}>
                Turn it off
              </Button>
            </Group>
          </>
        ) : offered ? (
          <>
            <Group align="flex-start" gap="lg">
              <Qr text={offered.uri} label="QR code for an authenticator program" />
              <Stack gap="xs" flex="1 1 240px">
                <Text size="sm">Let an authenticator program read this code, or enter the secret in it:</Text>
                <Command secret>{offered.secret}</Command>
                <Text size="sm" c="dimmed">
                  Then type the six digits that it shows.
                </Text>
              </Stack>
            </Group>
            <TextInput label="Code" value={code} onChange={(event) => setCode(event.currentTarget.value)} inputMode="numeric" autoComplete="one-time-code" />
            {own}
            <Failure error={confirm.error} />
            <Group justify="flex-end">
              <Button disabled={!code || !password} loading={confirm.isPending} onClick={() => confirm.mutate()}>
                Turn it on
              </Button>
            </Group>
          </>
        ) : (
          <>
            <Text size="sm" c="dimmed">
              A code of an authenticator program is asked for when you sign in.
            </Text>
            <Failure error={offer.error} />
            <Group justify="flex-end">
              <Button variant="default" loading={offer.isPending} onClick={() => offer.mutate()}>
                Set it up
              </Button>
            </Group>
          </>
        )}
      </Stack>
    </Paper>
  );
}
