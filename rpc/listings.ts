/**
 * Lists of the `tributary_` namespace that no counter of the ledger numbers: what doors' events tell, in the order in which it happened, page by page.
 * A page is `{ items, cursor }`: with the cursor the same question goes on behind the last item; null where the list ends for now. A page may be short, or
 * empty, and have a cursor: it read as many blocks as one call may. Spec: docs/spec/rpc.md#lists
 */
import { type AbiEvent, decodeEventLog, type Hex, numberToHex, pad, toEventSelector } from 'viem'
import { creditedEvent } from '../execution/native/attributionCredit.ts'
import { disputedEvent } from '../execution/native/creditDispute.ts'
import { modelRegisteredEvent } from '../execution/native/modelRegister.ts'
import type { Log } from '../execution/native/nativeType.ts'
import { workerRegisteredEvent } from '../execution/native/workerRegister.ts'
import { DOOR } from '../genesis/params.ts'
import type { Chain } from './chain.ts'
import type { LogPlace } from './format.ts'
import { logsOf } from './logs.ts'
import { fieldsToJson, type Json, quantity } from './quantity.ts'

/** Where a page begins: the block, and how many of its logs are behind. */
export type Cursor = { readonly block: bigint; readonly log: number }

/** Blocks of which the logs are read for one page, and blocks that one look into the index spans. */
const BLOCKS_READ_MAX = 512
const SPAN_BLOCKS = 65_536n
const SPANS_MAX = 64

/** What is listed: events of a door with these topics behind the first. */
export type Listing = { readonly door: Hex; readonly event: AbiEvent; readonly topics: readonly (Hex | undefined)[] }

/** The kinds of lists. */
export const LISTINGS = {
  models: (owner: Hex | undefined) => listing(DOOR.models, modelRegisteredEvent, undefined, owner),
  workers: (worker?: Hex) => listing(DOOR.workers, workerRegisteredEvent, worker),
  credits: (worker: Hex | undefined, modelId: Hex | undefined, creditIndex?: number) =>
    listing(DOOR.credits, creditedEvent, worker, modelId, creditIndex === undefined ? undefined : numberToHex(creditIndex)),
  disputes: (worker: Hex | undefined, challenger: Hex | undefined) => listing(DOOR.credits, disputedEvent, worker, undefined, challenger),
}

function listing(door: Hex, event: AbiEvent, ...topics: readonly (Hex | undefined)[]): Listing {
  return { door, event, topics: topics.map((topic) => topic && pad(topic, { size: 32 })) }
}

/** An event that was found: its log, where it is, and its arguments as JSON. */
export type Found = { readonly log: Log; readonly place: LogPlace; readonly args: Readonly<Record<string, Json>> }

/** A page of a list from the cursor on. `itemOf` answers undefined for what does not belong there. */
export function pageOf(
  chain: Chain,
  { door, event, topics }: Listing,
  { cursor, limit }: { readonly cursor: Cursor | undefined; readonly limit: number },
  itemOf: (found: Found) => Json | undefined,
): { readonly items: readonly Json[]; readonly cursor: Hex | null } {
  const { latest } = chain.heads()
  const wanted = { addresses: [door], topics: [[toEventSelector(event)], ...topics.map((topic) => (topic ? [topic] : []))] }
  while (wanted.topics.at(-1)?.length === 0) wanted.topics.pop()
  const items: Json[] = []
  const first = cursor?.block ?? 0n
  let read = 0
  let from = first
  for (let span = 0; span < SPANS_MAX && from <= latest; span++) {
    const to = from + SPAN_BLOCKS - 1n < latest ? from + SPAN_BLOCKS - 1n : latest
    for (const block of chain.blocksMatching({ from, to, ...wanted })) {
      if (read++ === BLOCKS_READ_MAX) return { items, cursor: cursorToJson({ block, log: 0 }) }
      const at = chain.blockLogs(block)
      if (!at) continue // pruned meanwhile
      for (const { log, place } of logsOf(at, wanted)) {
        if (block === first && place.logIndex < (cursor?.log ?? 0)) continue
        if (items.length === limit) return { items, cursor: cursorToJson({ block, log: place.logIndex }) }
        const item = itemOf({ log, place, args: argsOf(event, log) })
        if (item !== undefined) items.push(item)
      }
    }
    from = to + 1n
  }
  return { items, cursor: from <= latest ? cursorToJson({ block: from, log: 0 }) : null }
}

/** Where an item was written, for its JSON. */
export function placeToJson({ place }: Pick<Found, 'place'>): Record<string, Json> {
  const { blockHash, header, transactionHash, logIndex } = place
  return { blockNumber: quantity(header.number), blockHash, transactionHash, logIndex: quantity(logIndex) }
}

function argsOf(event: AbiEvent, log: Log): Readonly<Record<string, Json>> {
  const [signature, ...indexed] = log.topics
  const { args } = decodeEventLog({ abi: [event], data: log.data, topics: [signature ?? '0x', ...indexed] })
  return fieldsToJson(event.inputs, lowered(args as unknown as Readonly<Record<string, unknown>>))
}

/** viem writes addresses with a checksum in their case. */
function lowered(args: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [
      name,
      typeof value === 'string' && /^0x[0-9a-f]{40}$/i.test(value) ? value.toLowerCase() : value,
    ]),
  )
}

/** block u64 ‖ log u32. */
function cursorToJson({ block, log }: Cursor): Hex {
  return `${numberToHex(block, { size: 8 })}${numberToHex(log, { size: 4 }).slice(2)}`
}

/** Reads what `cursorToJson` wrote. */
export function cursorOf(packed: Hex): Cursor {
  return { block: BigInt(packed.slice(0, 18)), log: Number(`0x${packed.slice(18)}`) }
}
