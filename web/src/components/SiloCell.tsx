/** Which silo of a run is it, and what is wrong there? The first cell of its row. */
import { Anchor, Table, Text } from "@mantine/core";
import { Link } from "react-router";
import type { Run } from "../api/queries";

export function SiloCell({ silo }: { silo: Run["silos"][number] }) {
  return (
    <Table.Td>
      <Anchor component={Link} to={`/silos/${silo.name}`}>
        {silo.name}
      </Anchor>
      {silo.problem && (
        <Text size="xs" c="red" className="wrap-anywhere">
          {silo.problem}
        </Text>
      )}
    </Table.Td>
  );
}
