/** How does one come to what is older, and back? By the address, which says after what a page of a list begins. */
import { Button, Group } from "@mantine/core";
import { useNavigate, useSearchParams } from "react-router";

/** @param next after what the next page begins, if there is one */
export function Pages({ next }: { next: string | null | undefined }) {
  const [query, setQuery] = useSearchParams();
  const navigate = useNavigate();
  const older = (after: string): void => {
    const to = new URLSearchParams(query);
    to.set("after", after);
    setQuery(to);
  };
  return (
    <Group justify="flex-end" mt="md">
      {query.get("after") && <Button variant="default" onClick={() => void navigate(-1)}>Newer</Button>}
      {next && <Button variant="default" onClick={() => older(next)}>Older</Button>}
    </Group>
  );
}
