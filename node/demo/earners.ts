/** Who earned what, and why: the table at the end of the demo. */
import { wordsBySource } from '../../execution/attribution/shares.ts'
import type { Accepted, Snapshot } from './datanet.ts'
import type { Served } from './inference.ts'
import type { Claimed } from './payment.ts'
import { openOf, percentOf, tableOf } from './screen.ts'

/** What a contributor brought. */
export type Contribution = {
  /** Records of its own upload, and the quality that the curator gave it. */
  readonly records: number
  readonly qualityBps: number
  /** Words of all outputs that stand in those records, by the rule of docs/spec/attribution.md. */
  readonly words: number
  /** Its shares in what others uploaded. */
  readonly sharesInOthers: readonly { readonly uploadIndex: number; readonly shareBps: number }[]
}

export type Earner = Claimed & { readonly shareBps: number; readonly contribution: Contribution | undefined }

/** Everybody who has a part of the window's fee, with the reason. */
export function earnersOf(claims: readonly Claimed[], feeWei: bigint, snapshot: Snapshot, window: readonly Served[]): Earner[] {
  return claims.map((claim) => ({
    ...claim,
    shareBps: Number((claim.earnedWei * 10_000n) / feeWei),
    contribution: contributionOf(claim, snapshot, window),
  }))
}

/** The table, with a last line that has the sums. */
export function earnersTable(earners: readonly Earner[], window: readonly Served[], protocolBps: number): string {
  const words = window.reduce((sum, { attribution }) => sum + attribution.outputWords, 0)
  const rows = earners.map((earner) => {
    const { role, contribution, shareBps, earnedWei, claimedWei } = earner
    const { records, qualityBps, words: own } = contribution ?? {}
    return [
      role,
      records === undefined ? '' : String(records),
      qualityBps === undefined ? '' : percentOf(qualityBps),
      own === undefined ? '' : String(own),
      percentOf(shareBps),
      openOf(earnedWei),
      claimedWei === undefined ? '' : openOf(claimedWei),
      reasonOf(earner, protocolBps),
    ]
  })
  const sum = (amountOf: (earner: Earner) => bigint | undefined) =>
    openOf(earners.reduce((total, earner) => total + (amountOf(earner) ?? 0n), 0n))
  const last = ['together', '', '', `of ${words}`, '', sum(({ earnedWei }) => earnedWei), sum(({ claimedWei }) => claimedWei), '']
  return tableOf(['who', 'records', 'quality', 'words', 'share', 'OPEN earned', 'claimed', 'why'], [...rows, last])
}

function contributionOf({ address }: Claimed, { uploads }: Snapshot, window: readonly Served[]): Contribution | undefined {
  const own = uploads.find(({ uploader }) => uploader.address === address)
  if (own === undefined) return undefined
  const sharesInOthers = uploads
    .filter((upload) => upload !== own)
    .flatMap(({ uploadIndex, contributors }) => contributors.map((part) => ({ ...part, uploadIndex })))
    .filter(({ account }) => account === address)
    .map(({ uploadIndex, shareBps }) => ({ uploadIndex, shareBps }))
  return { records: own.records.length, qualityBps: own.qualityBps, words: wordsFrom(own, window), sharesInOthers }
}

function wordsFrom({ uploadIndex }: Accepted, window: readonly Served[]): number {
  const counts = window.flatMap(({ attribution }) => wordsBySource(attribution))
  return counts.reduce((sum, { source, words }) => sum + (source.uploadIndex === uploadIndex ? words : 0), 0)
}

function reasonOf({ role, contribution }: Earner, protocolBps: number): string {
  if (contribution === undefined) return role === 'treasury' ? `the protocol's ${percentOf(protocolBps)}` : (REASONS[role] ?? '')
  const shares = contribution.sharesInOthers.map(({ uploadIndex, shareBps }) => `; ${percentOf(shareBps)} of upload ${uploadIndex}`)
  return `quoted${shares.join('')}`
}

const REASONS: Readonly<Record<string, string>> = {
  worker: 'served the requests',
  'model owner': 'its model was used',
  'datanet owner': 'what words of nobody, quality and rounding leave',
}
