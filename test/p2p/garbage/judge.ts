/** What the garbage test must show. */
import { FLOODS, UNPUNISHED, USELESS } from './attacks.ts'
import type { GarbageResult } from './run.ts'

/** Longest that the victim's event loop may stand still, in processor time of its thread. */
const STALL_MAX_MS = 1_000
/** Most memory of the victim, and how much more of it may be kept after the attack than before, garbage aside. */
const RSS_MAX_BYTES = 640 << 20
const KEPT_MAX_BYTES = 64 << 20
/** The victim reports twice a second. */
const REPORTS_PER_MINUTE = 120

export type GarbageFacts = {
  readonly stallMaxMs: number
  readonly delayMaxMs: number
  readonly rssMaxBytes: number
  readonly keptBytes: number
  /** Least that was in use in each minute, with the garbage of that time. */
  readonly heapMib: readonly number[]
  readonly bans: number
  readonly bansBy: Readonly<Record<string, number>>
  readonly votes: number
  readonly echoes: number
  readonly echoMaxMs: number
}

/** The bounds that did not hold, as sentences, and the figures. `floodsMayFit`: the rates were the usual ones, which a busy machine may not reach. */
export function judgeGarbage(
  { reports, attacks, ...honest }: GarbageResult,
  floodsMayFit = false,
): {
  readonly faults: readonly string[]
  readonly facts: GarbageFacts
} {
  const faults: string[] = []
  const last = reports.at(-1)
  const kept = reports.flatMap((report) => report.keptBytes ?? [])
  const keptBytes = (kept.at(-1) ?? Number.POSITIVE_INFINITY) - (kept[0] ?? 0)
  const facts: GarbageFacts = {
    stallMaxMs: Math.max(...reports.map(({ stallMs }) => stallMs)),
    delayMaxMs: Math.max(...reports.map(({ delayMs }) => delayMs)),
    rssMaxBytes: Math.max(...reports.map(({ rssBytes }) => rssBytes)),
    keptBytes,
    heapMib: minutesOf(reports).map((minute) => lowest(minute) >> 20),
    bans: last?.metrics.host.bans ?? 0,
    bansBy: last?.metrics.host.bansBy ?? {},
    votes: honest.votes,
    echoes: honest.echoes,
    echoMaxMs: honest.echoMaxMs,
  }
  if (facts.stallMaxMs > STALL_MAX_MS) faults.push(`the event loop stood still for ${facts.stallMaxMs} ms`)
  if (facts.rssMaxBytes > RSS_MAX_BYTES) faults.push(`${facts.rssMaxBytes >> 20} MiB of memory`)
  if (keptBytes > KEPT_MAX_BYTES) faults.push(`${keptBytes >> 20} MiB more memory is kept after the attack`)
  if (honest.echoes < honest.votes) faults.push(`${honest.votes - honest.echoes} votes of an honest validator were lost`)
  if ((last?.metrics.gossip.accepted ?? 0) === 0) faults.push('no transaction of an honest peer was taken')
  for (const [name, { lives, cutOff }] of Object.entries(attacks)) {
    if (lives === 0) faults.push(`${name}: never connected`)
    else if (cutOff === 0 && !UNPUNISHED.has(name) && !(floodsMayFit && FLOODS.has(name))) faults.push(`${name}: not cut off`)
  }
  const isUselessSeen = (attacks[USELESS]?.cutOff ?? 0) === 0 || (facts.bansBy['its messages are of no use'] ?? 0) > 0
  if (!isUselessSeen) faults.push(`${USELESS}: cut off for something else`)
  return { faults, facts }
}

function minutesOf<T>(reports: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(reports.length / REPORTS_PER_MINUTE) }, (_, i) =>
    reports.slice(i * REPORTS_PER_MINUTE, (i + 1) * REPORTS_PER_MINUTE),
  )
}

function lowest(reports: readonly { readonly heapBytes: number }[]): number {
  return Math.min(...reports.map(({ heapBytes }) => heapBytes))
}
