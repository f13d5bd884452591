/** How does a file come in? It is chosen by a button, seen by its name and size, and sent; or by a command, which stands below. */
import { Button, FileButton, Group, Progress, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { bytes } from "../lib/format";
import { Command, Failure } from "./Bits";

/** `send` has done all when it is over; `command` is the same at a shell, of a file with this name. */
type Props = { accept: string; go: string; send: (file: File) => Promise<void>; command: (name: string) => string; close: () => void; children: ReactNode };

export function SendFile({ accept, go, send, command, close, children }: Props) {
  const [chosen, setChosen] = useState<File | null>(null);
  const sending = useMutation({ mutationFn: send });
  const choose = (file: File | null): void => {
    setChosen(file);
    sending.reset(); // what was wrong was the other file
  };
  return (
    <Stack>
      <Text size="sm">{children}</Text>
      <Group>
        <FileButton onChange={choose} accept={accept}>
          {(props) => (
            <Button variant="default" {...props} data-autofocus>
              Choose a file
            </Button>
          )}
        </FileButton>
        {chosen && (
          <Text size="sm" className="wrap-anywhere">
            {chosen.name}, {bytes(chosen.size)}
          </Text>
        )}
      </Group>
      {sending.isPending && <Progress value={100} animated aria-label="Sending" />}
      <Failure error={sending.error} />
      <Command>{command(chosen?.name ?? "")}</Command>
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button disabled={!chosen} loading={sending.isPending} onClick={() => chosen && sending.mutate(chosen)}>
          {go}
        </Button>
      </Group>
    </Stack>
  );
}
