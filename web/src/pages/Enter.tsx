/** What is behind a one-time link? A session in this browser: the code stands behind the `#`, and works once. */
import { Center, Loader, Paper, Stack, Text, Title } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { api, told } from "../api/client";
import { useSession } from "../api/session";
import { Command, Failure } from "../components/Bits";

export function Enter() {
  const { signedIn } = useSession();
  const navigate = useNavigate();
  const [error, setError] = useState<unknown>(null);
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    const said = new URLSearchParams(window.location.hash.slice(1));
    const [code, to] = [said.get("code") ?? "", said.get("to") ?? "/"];
    window.history.replaceState(null, "", "/enter");
    told(api.POST("/api/v1/session/enter", { body: { code } }))
      .then(signedIn)
      .then(() => navigate(to.startsWith("/") && !to.startsWith("//") ? to : "/", { replace: true }))
      .catch(setError);
  }, [navigate, signedIn]);
  return (
    <Center mih="100vh" p="md" component="main">
      {error ? (
        <Paper withBorder p="xl" maw={460}>
          <Stack>
            <Title order={1} size="h3">
              This link does not open the console
            </Title>
            <Failure error={error} />
            <Text size="sm">A link works once, for a quarter of an hour. Another one, at a shell where you are signed in:</Text>
            <Command>septum open</Command>
            <Text size="sm">
              Or <a href="/">sign in with your password</a>.
            </Text>
          </Stack>
        </Paper>
      ) : (
        <Loader aria-label="Signing in" />
      )}
    </Center>
  );
}
