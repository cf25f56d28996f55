/** 0x…0a13, 0x…0a14, 0x…0a15: what is shown of attributions, by their codes. Spec: docs/spec/attribution.md#verifiers */
import { type Abi, bytesToHex, decodeFunctionResult, encodeFunctionData, type Hex, hexToBytes, toHex, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { createAttributor } from '../../execution/attribution/attribute.ts'
import { encodeAttribution } from '../../execution/attribution/attributionRecord.ts'
import { contentRootOf, packWords, snapshotRoot } from '../../execution/attribution/commitment.ts'
import { encodeOpening, openRecord } from '../../execution/attribution/opening.ts'
import { commitSuffixes, encodeLongestProof } from '../../execution/attribution/suffixProof.ts'
import { createWordIndex } from '../../execution/attribution/wordIndex.ts'
import { getAccount } from '../../execution/ledger/tables.ts'
import { longestVerifierAbi, sharesVerifierAbi, spanVerifierAbi } from '../../execution/native/doorAbi.ts'
import type { Precompile } from '../../execution/precompile.ts'
import { spanVerifier } from '../../precompiles/0a13-span.ts'
import { longestVerifier } from '../../precompiles/0a14-longest.ts'
import { sharesVerifier } from '../../precompiles/0a15-shares.ts'
import { callIn, createEmptyLedger } from './frame.ts'
import { LABELLER, MODEL_ID, STEPS, UPLOADER, worldAfter } from './world.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

const TEXTS = ['the river rises in the hills and runs to the sea', 'one two three four five six seven eight']
const RECORDS = TEXTS.map(bytesOf)
const UPLOADS = [
  {
    uploadIndex: 5,
    recordCount: 2,
    qualityBps: 9_000,
    contentRoot: contentRootOf(RECORDS, UPLOADER),
    contributor: UPLOADER,
    records: RECORDS,
  },
]
const ROOT = snapshotRoot(UPLOADS)

type Answer = { readonly values: unknown; readonly gasUsed: bigint }

function ask(precompile: Precompile, abi: Abi, args: readonly unknown[], ledger = createEmptyLedger()): Answer {
  const item = abi[0]
  const functionName = item && 'name' in item ? item.name : ''
  const data = hexToBytes(encodeFunctionData({ abi, functionName, args }))
  const { result } = callIn(ledger, precompile, data, { isStatic: true })
  if (result.kind !== 'return') throw new Error(`the verifier answered ${result.kind}`)
  return { values: decodeFunctionResult({ abi, functionName, data: toHex(result.output) }), gasUsed: result.gasUsed }
}

const opening = bytesToHex(encodeOpening(openRecord(UPLOADS, { uploadIndex: 5, record: 1, offset: 2, length: 3 })))
const words = (text: string): Hex => bytesToHex(packWords(text.split(' ')))
const span = (root: Hex, offset: number, text: string) => ask(spanVerifier, spanVerifierAbi, [root, opening, offset, words(text)]).values
const NOBODY = [0, 0, '0x0000000000000000000000000000000000000000', 0]

test('a span is where it is, under the root that it is under', () => {
  const place = [5, 1, UPLOADER, 9_000].map((one) => (typeof one === 'string' ? expect.stringMatching(new RegExp(one, 'i')) : one))
  expect(span(ROOT, 2, 'three four five')).toEqual([0, ...place])
  expect(span(ROOT, 3, 'three four five')).toEqual([35, ...place])
  expect(span(ROOT, 6, 'seven eight nine')).toEqual([32, ...place])
  expect(span(zeroHash, 2, 'three four five')).toEqual([32, ...NOBODY])
  expect(ask(spanVerifier, spanVerifierAbi, [ROOT, '0x00', 2, '0x']).values).toEqual([255, ...NOBODY])
  expect(ask(spanVerifier, spanVerifierAbi, [ROOT, opening, 2, '0x05aa']).values).toEqual([255, ...NOBODY])
})

test('the longest match of a query is what its proof shows', () => {
  const records = RECORDS.map((bytes, record) => ({ datanet: 0, uploadIndex: 5, record, bytes }))
  const suffixes = commitSuffixes(createWordIndex(RECORDS), records, UPLOADS)
  const query = 'runs to the moon'.split(' ')
  const proof = bytesToHex(encodeLongestProof(suffixes.prove(query)))
  const longest = (root: Hex, text: string, evidence = proof) =>
    ask(longestVerifier, longestVerifierAbi, [root, ROOT, evidence, words(text)]).values
  expect(longest(suffixes.suffixRoot, 'runs to the moon')).toEqual([0, 3])
  expect(longest(suffixes.suffixRoot, 'the moon')).toEqual([34, 0])
  expect(longest(ROOT, 'runs to the moon')).toEqual([32, 0])
  expect(longest(suffixes.suffixRoot, 'runs to the moon', '0x00')).toEqual([255, 0])
})

test('a record comes to the shares that the ledger’s splits and quality give', () => {
  const ledger = worldAfter(STEPS.findIndex(({ name }) => name === 'register a worker'))
  const records = [{ datanet: 0, uploadIndex: 0, record: 0, bytes: RECORDS[1] ?? new Uint8Array() }]
  const record = bytesToHex(encodeAttribution(createAttributor(records)(bytesOf(`${TEXTS[1]} and nothing`), new Uint8Array())))
  const [uploader, labeller] = [UPLOADER, LABELLER].map((account) => getAccount(ledger, account).index)
  // 8 of 10 words, quality 9,000, split 6,000 and 4,000
  expect(ask(sharesVerifier, sharesVerifierAbi, [MODEL_ID, record], ledger).values).toEqual([
    0,
    8,
    [uploader, labeller],
    [4_320, 2_880],
    2_800,
  ])
  expect(ask(sharesVerifier, sharesVerifierAbi, [zeroHash, record], ledger).values).toEqual([5, 0, [], [], 10_000])
  expect(ask(sharesVerifier, sharesVerifierAbi, [MODEL_ID, '0x01'], ledger).values).toEqual([255, 0, [], [], 10_000])
})

test('gas is what the spec says, and that of a view', () => {
  const callWords = (abi: Abi, args: readonly unknown[]): bigint => {
    const item = abi[0]
    const data = encodeFunctionData({ abi, functionName: item && 'name' in item ? item.name : '', args })
    return BigInt(Math.ceil((data.length / 2 - 1) / 32))
  }
  const args = [ROOT, opening, 2, words('three four five')]
  const evidence = BigInt(Math.ceil((opening.length / 2 - 1) / 32)) + 1n
  expect(ask(spanVerifier, spanVerifierAbi, args).gasUsed).toBe(
    6_300n + 120n * evidence + 120n + 30n * callWords(spanVerifierAbi, args) + 60n * 5n,
  )
})
