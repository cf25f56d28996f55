/**
 * Evidence of every kind and length, made of nothing or of what is true with something changed: it never throws, it is always judged, and it brings no honest
 * credit down. Spec: docs/spec/disputes.md#evidence
 */
import fc from 'fast-check'
import { type AbiEvent, bytesToHex, concatBytes, decodeEventLog, type Hex, hexToBytes, hexToString, trim } from 'viem'
import { expect, test } from 'vitest'
import { wordsOf } from '../../../execution/attribution/lexer.ts'
import { LINE_KIND, openLines } from '../../../execution/attribution/lines.ts'
import { encodeOpening, openRecord, openUpload, openWords } from '../../../execution/attribution/opening.ts'
import {
  attributionEvidence,
  badLeafEvidence,
  booksEvidence,
  DISPUTE_KIND,
  doubleUseEvidence,
  equivocationEvidence,
  GROUND,
  packEvidence,
} from '../../../execution/disputes/evidence.ts'
import { disputes } from '../../../execution/ledger/tables.ts'
import { creditDispute, disputedEvent } from '../../../execution/native/creditDispute.ts'
import { ALICE, contextOf, indexOf, mustRun, WORKER } from '../native/world.ts'
import { bytesOf, CHALLENGER, creditWindow, packServed, recordHex, SALT } from './window.ts'

const window = creditWindow()
const { ledger, credit, exchanges, lines, snapshots } = window
const second = exchanges[1] as (typeof exchanges)[number]
const drawn = credit.draws.map(({ request, amount }) => ({ client: request.client, amount }))

/** Judges evidence against the honest credit, and undoes it. */
function judge(kind: number, evidence: Hex, opened: Hex): { readonly upheld: boolean; readonly reason: Hex } {
  const { accounts, amountsGwei } = credit
  const fields = { kind, worker: WORKER, creditIndex: 0, drawn, accounts, amountsGwei, evidence, opened }
  ledger.checkpoint()
  const [log] = mustRun(creditDispute, ledger, contextOf(CHALLENGER), fields)
  const isOnRecord = disputes.get(ledger, { worker: WORKER, creditIndex: 0 }) !== undefined
  ledger.revert()
  if (!log) throw new Error('a dispute left no log')
  const { args } = decodeEventLog({ abi: [disputedEvent as AbiEvent], data: log.data, topics: log.topics as [Hex] })
  const { upheld, reason } = args as unknown as { upheld: number; reason: Hex }
  expect(isOnRecord).toBe(upheld === 1)
  return { upheld: upheld === 1, reason }
}

const wordsIn = (text: string): string[] => wordsOf(bytesOf(text)) ?? []
const arbitraryKind = fc.integer({ min: DISPUTE_KIND.equivocation, max: DISPUTE_KIND.wrongAttribution })
const arbitraryHex = (maxLength: number) => fc.uint8Array({ maxLength, size: 'max' }).map((bytes) => bytesToHex(bytes))

type Truth = { readonly kind: number; readonly evidence: Uint8Array; readonly opened: Hex }

/** Evidence of each kind in which everything is as it is, and which therefore shows nothing. */
const truths: readonly Truth[] = [
  {
    kind: DISPUTE_KIND.equivocation,
    evidence: equivocationEvidence.pack({
      receipt: window.served(0).receipt,
      receiptSig: window.served(0).receiptSig,
      otherReceipt: window.served(1).receipt,
      otherSig: window.served(1).receiptSig,
    }),
    opened: '0x',
  },
  { kind: DISPUTE_KIND.badLeaf, evidence: badLeafEvidence.pack({ served: window.served(1) }), opened: '0x' },
  {
    kind: DISPUTE_KIND.doubleUse,
    evidence: doubleUseEvidence.pack({ served: window.served(0), otherCredit: 0, other: window.served(1) }),
    opened: '0x',
  },
  ...[0, 1, 2].map((at) => ({
    kind: DISPUTE_KIND.wrongBooks,
    evidence: booksEvidence.pack({
      ...{ lineCount: lines.length, firstLine: at, ...openLines(lines, at, 2), kind: LINE_KIND.earned, key: indexOf(ledger, ALICE) },
      ...{ served: at === 0 ? '0x' : packServed(window.served(at)), attribution: at === 0 ? '0x' : recordHex(second.record) },
    }),
    opened: '0x' as const,
  })),
  ...Object.values(GROUND).map((ground) => ({
    kind: DISPUTE_KIND.wrongAttribution,
    evidence: hexToBytes(truthOf({ ground })),
    opened: bytesToHex(concatBytes([SALT, bytesOf(ground === GROUND.wrongPrompt ? second.prompt : second.output)])),
  })),
]

type Claim = {
  readonly ground: number
  readonly item?: number
  readonly placeItem?: number
  readonly start?: number
  readonly length?: number
  readonly datanet?: number
  readonly offset?: number
  readonly source?: { readonly uploadIndex: number; readonly record: number; readonly offset: number; readonly length: number }
}

/** Evidence about the second receipt with real openings. */
function truthOf({ ground, item = 0, placeItem = 0, start = 2, length = 8, datanet = 1, offset = 2, source }: Claim): Hex {
  const opened = source ?? { uploadIndex: 0, record: 0, offset: 0, length: 2 }
  return packEvidence(attributionEvidence, {
    ...{ served: window.served(1), attribution: recordHex(second.record), ground, item, placeItem, start, length, datanet, offset },
    ...{ output: openWords(wordsIn(second.output), start, length), prompt: openWords(wordsIn(second.prompt), 0, 3) },
    opening: bytesToHex(encodeOpening(openRecord(snapshots[datanet] ?? [], opened))),
    neighbours: [openUpload(snapshots[0] ?? [], 0), openUpload(snapshots[0] ?? [], 1)],
  })
}

test('bytes of any length are judged, and show nothing', () => {
  const property = fc.property(arbitraryKind, arbitraryHex(2_000), arbitraryHex(200), (kind, evidence, opened) => {
    expect(judge(kind, evidence, opened).upheld).toBe(false)
  })
  fc.assert(property, { numRuns: 300, examples: [1, 2, 3, 4, 5].map((kind) => [kind, '0x', '0x'] as [number, Hex, Hex]) })
  for (let kind = 1; kind <= 5; kind++) expect(judge(kind, `0x${'ff'.repeat(65_535)}`, `0x${'00'.repeat(65_535)}`).upheld).toBe(false)
})

test('what is true shows nothing, nor does it with bytes changed, cut off, put in or doubled', () => {
  for (const { kind, evidence, opened } of truths) expect(judge(kind, bytesToHex(evidence), opened)).toMatchObject({ upheld: false })
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255), how: fc.constantFrom('set', 'put', 'cut', 'double', 'zero') })
  const property = fc.property(fc.constantFrom(...truths), fc.array(change, { minLength: 1, maxLength: 3 }), (truth, changes) => {
    let bytes = [...truth.evidence]
    for (const { at, byte, how } of changes) {
      const place = bytes.length === 0 ? 0 : at % bytes.length
      if (how === 'set') bytes[place] = byte
      if (how === 'put') bytes.splice(place, 0, byte)
      if (how === 'cut') bytes = bytes.slice(0, place)
      if (how === 'double') bytes = [...bytes.slice(0, place), ...bytes]
      if (how === 'zero') bytes.fill(0, place, place + 32)
    }
    expect(judge(truth.kind, bytesToHex(Uint8Array.from(bytes)), truth.opened).upheld).toBe(false)
  })
  fc.assert(property, { numRuns: 1_500 })
})

test('real openings with any numbers beside them bring no honest attribution down', () => {
  const reasons = new Set<string>()
  const small = fc.oneof(fc.nat(14), fc.constantFrom(255, 65_535))
  const source = fc.constantFrom(...snapshots.flatMap((uploads, datanet) => uploads.map((upload) => ({ datanet, upload }))))
  const numbers = fc.record({ ground: fc.nat(9), item: small, placeItem: small, start: fc.nat(20), length: fc.nat(14), offset: small })
  const property = fc.property(numbers, source, fc.nat(1), fc.nat(16), (claim, { datanet, upload }, at, from) => {
    const record = at % upload.records.length
    const words = wordsOf(upload.records[record] ?? new Uint8Array())?.length ?? 0
    const shown = { uploadIndex: upload.uploadIndex, record, offset: from % words, length: 1 + (claim.length % words) }
    const opened = bytesToHex(concatBytes([SALT, bytesOf(claim.ground === GROUND.wrongPrompt ? second.prompt : second.output)]))
    const { upheld, reason } = judge(DISPUTE_KIND.wrongAttribution, truthOf({ ...claim, datanet, source: shown }), opened)
    expect(upheld).toBe(false)
    reasons.add(hexToString(trim(reason, { dir: 'right' })))
  })
  // The same claims in every run: which answers they meet is known.
  fc.assert(property, { numRuns: 800, seed: 31 })
  expect([...reasons]).toEqual(expect.arrayContaining(['rightOutput', 'rightPrompt', 'rightPlace', 'notShown', 'unknownGround']))
})

test('every run of an output that stands in a record is in the honest attribution already', () => {
  const output = wordsIn(second.output)
  let shown = 0
  for (const [datanet, uploads] of snapshots.entries())
    for (const { uploadIndex, records } of uploads)
      for (const [record, bytes] of records.entries()) {
        const words = wordsOf(bytes) ?? []
        for (let start = 0; start < output.length; start++)
          for (let offset = 0; offset < words.length; offset++)
            for (let length = 6; start + length <= output.length && offset + length <= words.length; length++) {
              if (output.slice(start, start + length).some((word, i) => word !== words[offset + i])) break
              const claim = { ground: GROUND.placeMissing, start, length, datanet, offset }
              shown++
              const evidence = truthOf({ ...claim, source: { uploadIndex, record, offset, length } })
              expect(judge(DISPUTE_KIND.wrongAttribution, evidence, '0x').upheld).toBe(false)
            }
      }
  expect(shown).toBeGreaterThan(20)
})
