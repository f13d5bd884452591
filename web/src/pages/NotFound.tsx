/** What stands where there is no page? */
import { Button } from "@mantine/core";
import { Link } from "react-router";
import { Empty, Heading } from "../components/Bits";

export function NotFound() {
  return (
    <>
      <Heading title="There is no such page" />
      <Empty title="Nothing is at this address" action={<Button component={Link} to="/">Home</Button>}>
        It may have been a link of another version of the console.
      </Empty>
    </>
  );
}
