/** Which rosters does the coordinator pass on? The newest first, as many as one has asked for. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { api, type Schemas, told } from "./client";

export type Roster = Schemas["RosterView"];

const FEW = 10;

export function useRosters() {
  return useInfiniteQuery({
    queryKey: ["rosters"],
    queryFn: ({ pageParam }) => told(api.GET("/api/v1/roster/history", { params: { query: { limit: FEW, after: pageParam } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    refetchInterval: 60_000, // of rosters the feed tells nothing
  });
}
