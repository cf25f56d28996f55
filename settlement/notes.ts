/**
 * Notes: what L1 was shown in earlier transactions of a way that is too long for one, by whomever (contracts/fraud/Notes.sol). What a proof shows begins
 * where the notes end; where that is still too far, the next note comes first. Spec: docs/spec/fraud.md#notes
 */
import { bytesToHex, encodeFunctionData, type Hex, parseEventLogs, zeroAddress, zeroHash } from 'viem'
import { assert } from '../execution/assert.ts'
import { notesAbi } from './abi.ts'
import type { BatchHeader } from './inbox.ts'
import type { L1Batch, L1Log } from './l1Logs.ts'

/** What is noted, and where. */
export type Notes = {
  /** The contract. */
  readonly address: Hex
  /** Numbers of L1 blocks whose hashes are noted, ascending. */
  readonly l1Blocks: readonly bigint[]
  /** Batches that are noted to come before another, by that one's accumulator. */
  readonly ancestors: ReadonlyMap<Hex, ReadonlySet<Hex>>
}

/** As before anybody noted anything. */
export const noneNoted: Notes = { address: zeroAddress, l1Blocks: [], ancestors: new Map() }

/** Batches that a proof shows beside its own things, and that one note shows: 288 bytes each, of the 128 KiB of call data that pools take. */
export const LINKS_MAX = { proof: 64, note: 380 } as const
/** Headers of L1 likewise: some 700 bytes each. */
export const HEADERS_MAX = { proof: 64, note: 160 } as const
/** L1 blocks that L1 remembers by itself (EIP-2935). */
export const L1_REMEMBERS = 8_191n
/** Of the L1 blocks that may be wanted later, each whose number is a multiple of this is noted: a proof has room for the headers between. */
const NOTED_EACH = 64n
/** How many are noted at once. */
const NOTED_AT_ONCE = 32

/** What is noted, from all of the contract's logs. */
export function parseNotes(address: Hex, logs: readonly L1Log[]): Notes {
  const l1Blocks = new Set<bigint>()
  const ancestors = new Map<Hex, Set<Hex>>()
  for (const { eventName, args } of parseEventLogs({ abi: notesAbi, logs: [...logs] })) {
    if (eventName === 'L1BlockNoted') l1Blocks.add(args.number)
    else ancestors.set(args.accumulator, (ancestors.get(args.accumulator) ?? new Set()).add(args.ancestor))
  }
  return { address, l1Blocks: [...l1Blocks].toSorted((a, b) => (a < b ? -1 : 1)), ancestors }
}

/** How a proof shows the way back to a batch, or the note that has to come first. */
export type Way =
  | { readonly ok: true; readonly from: Hex; readonly links: readonly BatchLink[] }
  | { readonly ok: false; readonly note: Hex }

type BatchLink = { readonly index: bigint; readonly header: BatchHeader; readonly dataHash: Hex }

/** A batch as it is shown. */
export function toLink({ index, header, dataHash }: L1Batch): BatchLink {
  return { index, header, dataHash }
}

/** `way`: from the checkpoint's batch back to the one that is shown, each the predecessor of the one before. */
export function planLinks(way: readonly L1Batch[], notes: Notes): Way {
  const [first] = way
  assert(first, 'a way has its end')
  const known = notes.ancestors.get(first.accumulator)
  const noted = way.length > LINKS_MAX.proof ? way.findLastIndex(({ accumulator }) => known?.has(accumulator)) : -1
  const from = way[noted]?.accumulator ?? zeroHash
  const links = way.slice(Math.max(noted, 0)).map(toLink)
  if (links.length <= LINKS_MAX.proof) return { ok: true, from, links }
  // The batch itself is for the proof to show.
  const args = [first.accumulator, from, links.slice(0, Math.min(LINKS_MAX.note, links.length - 1))] as const
  return { ok: false, note: encodeFunctionData({ abi: notesAbi, functionName: 'noteAncestor', args }) }
}

/** Headers of L1 blocks from one number down to another. */
export type HeaderRun = { readonly from: bigint; readonly last: bigint }

export type HeaderPlan = {
  /** L1 blocks that a group's rows name. */
  readonly numbers: readonly bigint[]
  /** The batch's `l1OriginNumber`, which none of them is above. */
  readonly origin: bigint
  /** The oldest L1 block that L1 remembers: `rememberedFrom`. */
  readonly remembered: bigint
}

/** The oldest L1 block that L1 still remembers when a proof is included which is sent behind `head`. `remembers`: so many blocks in all. */
export function rememberedFrom(head: bigint, remembers: bigint): bigint {
  const oldest = head - (remembers - remembers / 32n)
  return oldest > 0n ? oldest : 0n
}

/** The headers that show the L1 blocks, in this order, or those whose parent has to be noted first. */
export function planHeaders(
  { numbers, origin, remembered }: HeaderPlan,
  notes: Notes,
): { readonly ok: true; readonly runs: readonly HeaderRun[] } | { readonly ok: false; readonly note: HeaderRun } {
  const known = (number: bigint) => knownFrom(number, remembered, notes)
  const runs: HeaderRun[] = []
  for (const number of [...new Set(numbers)].toSorted((a, b) => (a < b ? 1 : -1))) {
    const before = runs.at(-1)
    // Where the last run ends it may go on, and the first one may begin with the batch's origin.
    const next = before ? before.last - 1n : origin
    const isNearer = next < known(number)
    if (before && isNearer) runs[runs.length - 1] = { from: before.from, last: number }
    else runs.push({ from: isNearer ? next : known(number), last: number })
  }
  const count = runs.reduce((sum, { from, last }) => sum + Number(from - last) + 1, 0)
  if (count <= HEADERS_MAX.proof) return { ok: true, runs }
  // One step towards the one that is farthest from what L1 knows: each becomes known in its turn.
  const wanted = numbers.reduce((farthest, number) => (known(number) - number > known(farthest) - farthest ? number : farthest))
  const from = known(wanted)
  const least = from - BigInt(HEADERS_MAX.note) + 1n
  return { ok: false, note: { from, last: least > wanted ? least : wanted + 1n } }
}

/** The lowest block from `number` on whose hash L1 knows by itself or by a note. */
function knownFrom(number: bigint, remembered: bigint, { l1Blocks }: Notes): bigint {
  const noted = l1Blocks.find((one) => one >= number)
  const own = remembered > number ? remembered : number
  return noted !== undefined && noted < own ? noted : own
}

/** Call data that notes the L1 block before the last of these headers. */
export function encodeNoteL1Parent(headers: readonly Uint8Array[]): Hex {
  return encodeFunctionData({ abi: notesAbi, functionName: 'noteL1Parent', args: [headers.map((header) => bytesToHex(header))] })
}

/** Call data that notes L1 blocks that L1 remembers. */
export function encodeNoteL1Blocks(numbers: readonly bigint[]): Hex {
  return encodeFunctionData({ abi: notesAbi, functionName: 'noteL1Blocks', args: [numbers] })
}

/**
 * L1 blocks to be noted before L1 forgets them: where the rollup's L1 origin lies far behind L1's head, as when its validators stood still, rows that are yet
 * to come may name blocks that L1 will have forgotten by then. None while there are few of them and time is left.
 */
export function l1BlocksToNote(
  { origin, head, remembers }: { readonly origin: bigint; readonly head: bigint; readonly remembers: bigint },
  noted: readonly bigint[],
): bigint[] {
  const oldest = rememberedFrom(head, remembers)
  const young = head - remembers / 2n
  const first = (origin > oldest ? origin : oldest) / NOTED_EACH + 1n
  const due: bigint[] = []
  for (let number = first * NOTED_EACH; number <= young && due.length < NOTED_AT_ONCE; number += NOTED_EACH)
    if (!noted.includes(number)) due.push(number)
  const isUrgent = due[0] !== undefined && due[0] < (oldest + young) / 2n
  return isUrgent || due.length === NOTED_AT_ONCE ? due : []
}
