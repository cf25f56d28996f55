/** Reports of evidence in blocks: every rule, who is convicted and who never is, and what becomes of sets. Spec: docs/spec/consensus.md#in-blocks */
import fc from 'fast-check'
import { bytesToHex, decodeEventLog, decodeFunctionData, encodeFunctionData, type Hex, parseAbi, toHex } from 'viem'
import { expect, test } from 'vitest'
import { NIL, type Statement } from '../../consensus/digest.ts'
import { type Evidence, encodeEvidence, judgeEvidence } from '../../consensus/evidence.ts'
import { applyBlock } from '../../execution/applyBlock.ts'
import type { Block } from '../../execution/block.ts'
import { type Deposit, validatorChangedEvent } from '../../execution/deposit.ts'
import { applyReportToLedger } from '../../execution/laneRules.ts'
import { createLedger } from '../../execution/ledger/ledger.ts'
import { convictions, getL1Info } from '../../execution/ledger/tables.ts'
import { hashOfSet, putGenesisValidators, requestsHashOf, setOfEpoch } from '../../execution/ledger/validators.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { reportCallData, reportOf, validatorConvictedEvent } from '../../execution/report.ts'
import type { ReportTx } from '../../execution/tx.ts'
import { EVIDENCE_BYTES, EVIDENCE_EPOCHS_MAX, REPORT_GAS, REPORTS_PER_BLOCK_MAX, SYSTEM_SENDER, VALIDATORS } from '../../genesis/params.ts'
import { blockHash } from '../consensus/fixtures.ts'
import { TEST_PARAMS } from '../fakes/ledger.ts'
import { memberOf, type Offence, offenceOf, reportOfEvidence, signedBy } from '../fakes/offence.ts'
import { addressOf, createTestChain, equalValidators, signNative, type TestChain, testAccounts } from '../fakes/testChain.ts'

const EPOCH_BLOCKS = 4
const params = { ...TEST_PARAMS, epochBlocks: EPOCH_BLOCKS }
const { chainId } = params

function ledgerOf(count: number) {
  const ledger = createLedger(() => undefined)
  putGenesisValidators(
    ledger,
    Array.from({ length: count }, (_, index) => memberOf(index)),
  )
  return ledger
}

/** What a block of this number makes of the evidence. */
function verdict(evidence: Uint8Array, number: number, { ledger = ledgerOf(4), network = params } = {}) {
  const env = { number: BigInt(number), timestamp: 0n }
  const result = applyReportToLedger({ ledger, params: network, env, judgeEvidence }, reportOf(evidence))
  return result.ok ? 'ok' : `${result.code}${result.invalid ? '' : ' (included)'}`
}

const offence = (rest: Partial<Offence> = {}): Offence => ({ key: 2, height: 3, epoch: 0, chainId, ...rest })
const bytesOf = (rest: Partial<Offence> = {}) => encodeEvidence(offenceOf(offence(rest)))
const changed = (bytes: Uint8Array, at: number, byte: number) => bytes.map((one, i) => (i === at ? byte : one))

test('both kinds of evidence convict who signed it', () => {
  for (const kind of ['doubleVote', 'amnesia'] as const) {
    const ledger = ledgerOf(4)
    expect(verdict(bytesOf({ kind }), 4, { ledger })).toBe('ok')
    const { key0, key1, key2, validator } = memberOf(2)
    const record = convictions.get(ledger, { key0, key1, key2 })
    expect(record).toEqual({ validator, kind: kind === 'doubleVote' ? 1 : 2, height: 3n, blockNumber: 4n })
  }
})

const last = EPOCH_BLOCKS * (EVIDENCE_EPOCHS_MAX + 1)
const honest = encodeEvidence({ ...offenceOf(offence()), second: offenceOf(offence()).first })
const RULES: readonly (readonly [why: string, code: string, evidence: Uint8Array, number: number])[] = [
  ['of a block that is none', 'unknownHeight', bytesOf({ height: 0 }), 4],
  ['of the very height', 'unknownHeight', bytesOf({ height: 4 }), 4],
  ['of a height to come', 'unknownHeight', bytesOf({ height: 5 }), 4],
  ['of the last height before', 'ok', bytesOf({ height: 3 }), 4],
  ['in the last epoch in which it counts', 'ok', bytesOf(), last],
  ['in the first in which it does not', 'evidenceTooOld', bytesOf(), last + 1],
  ['against a place that nobody has', 'unknownValidator', bytesOf({ validator: 4 }), 4],
  ['against a place beyond every set', 'unknownValidator', bytesOf({ validator: 128 }), 4],
  ['against somebody else than who signed', 'badSignature', bytesOf({ validator: 1 }), 4],
  ['signed for another chain', 'badSignature', bytesOf({ chainId: chainId + 1 }), 4],
  ['signed for another epoch', 'badSignature', bytesOf({ epoch: 1 }), 4],
  ['with a byte of a signature changed', 'badSignature', changed(bytesOf(), EVIDENCE_BYTES - 1, 0), 4],
  ['twice the same statement', 'noOffence', honest, 4],
  ['of a kind that is none', 'malformedEvidence', changed(bytesOf(), 0, 3), 4],
  ['with a statement that is none', 'malformedEvidence', changed(bytesOf(), 11, 9), 4],
]

test.each(RULES)('evidence %s: %s', (_, code, evidence, number) => {
  const ledger = ledgerOf(4)
  expect(verdict(evidence, number, { ledger })).toBe(code)
  const { key0, key1, key2 } = memberOf(2)
  expect(convictions.get(ledger, { key0, key1, key2 }) !== undefined).toBe(code === 'ok')
})

test('nobody is convicted twice, by other evidence of another epoch neither', () => {
  const ledger = ledgerOf(4)
  expect(verdict(bytesOf(), 4, { ledger })).toBe('ok')
  expect(verdict(bytesOf(), 4, { ledger })).toBe('alreadyConvicted')
  expect(verdict(bytesOf({ kind: 'amnesia', height: 2 }), 5, { ledger })).toBe('alreadyConvicted')
})

test('a network without epochs has nobody to convict', () => {
  expect(verdict(bytesOf(), 4, { network: { ...params, epochBlocks: 0 } })).toBe('noEpochs')
})

test('a fork without the type has no reports', () => {
  const [first] = params.forks
  if (!first) throw new Error('there is no fork')
  const rules = { ...first.rules, nativeTypes: first.rules.nativeTypes.filter((byte) => byte !== 0x5a) }
  expect(verdict(bytesOf(), 4, { network: { ...params, forks: [{ ...first, rules }] } })).toBe('typeNotActive')
})

test('evidence of the code here has the length that blocks know', () => {
  expect(bytesOf()).toHaveLength(EVIDENCE_BYTES)
})

// ---- sets ----

test('who is convicted is out from the next epoch on', () => {
  const ledger = ledgerOf(4)
  expect(verdict(bytesOf(), 4, { ledger })).toBe('ok')
  const names = (epoch: number) => setOfEpoch(ledger, epoch)?.map(({ validator }) => Number(validator) - 0xa000)
  expect([names(0), names(1), names(9)]).toEqual([
    [0, 1, 2, 3],
    [0, 1, 3],
    [0, 1, 3],
  ])
})

test('the last one that is registered stays in the set, convicted, until somebody else comes', () => {
  const ledger = ledgerOf(2)
  expect(verdict(bytesOf({ key: 0 }), 4, { ledger })).toBe('ok')
  expect(verdict(bytesOf({ key: 1 }), 4, { ledger })).toBe('ok')
  expect(setOfEpoch(ledger, 1)).toEqual(setOfEpoch(ledger, 0))
})

// ---- never a correct one ----

/** What a validator that keeps the rules may sign at one height: one statement a round and kind, no prevote behind its lock. */
const lawful = fc
  .array(fc.record({ voted: fc.nat(2), committed: fc.nat(2), validRound: fc.nat(6) }), { minLength: 1, maxLength: 6 })
  .map((rounds) => {
    let lock: { readonly round: number; readonly name: number } | undefined
    const said: Omit<Statement, 'height'>[] = []
    for (const [round, { voted, committed, validRound: drawn }] of rounds.entries()) {
      const validRound = Math.min(drawn, round) - 1
      const mayVote = voted > 0 && (lock === undefined || lock.name === voted || validRound >= lock.round)
      const choice = mayVote ? { blockHash: blockHash(voted), validRound } : { blockHash: NIL, validRound: -1 }
      said.push({ kind: 'prevote', round, ...choice })
      const locks = committed > 0 && mayVote
      said.push({ kind: 'precommit', round, validRound: -1, blockHash: locks ? blockHash(voted) : NIL })
      if (locks) lock = { round, name: voted }
    }
    return said
  })

test('no two signatures of a validator that keeps the rules convict it, whatever is made of them', () =>
  fc.assert(
    fc.property(lawful, fc.nat(), fc.nat(), fc.constantFrom('doubleVote' as const, 'amnesia' as const), (said, a, b, kind) => {
      const parts = [a, b].map((at) => signedBy(offence(), said[at % said.length] as Omit<Statement, 'height'>))
      const [first, second] = parts as [Evidence['first'], Evidence['first']]
      expect(verdict(encodeEvidence({ kind, validator: 2, height: 3, first, second }), 4)).toBe('noOffence')
    }),
    { numRuns: 150 },
  ))

test('bytes of real evidence, changed anywhere, convict nobody else, and never throw', () => {
  const real = [bytesOf(), bytesOf({ kind: 'amnesia' })] as const
  const change = fc.array(fc.tuple(fc.nat(EVIDENCE_BYTES - 1), fc.nat(255)), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(fc.constantFrom(...real), change, fc.integer({ min: 1, max: 14 }), (bytes, changes, number) => {
      const ledger = ledgerOf(4)
      const copy = bytes.slice()
      for (const [at, byte] of changes) copy[at] = byte
      const isSame = bytesToHex(copy) === bytesToHex(bytes)
      if (verdict(copy, number, { ledger }) === 'ok') expect(isSame).toBe(true)
      for (const index of [0, 1, 3]) {
        const { key0, key1, key2 } = memberOf(index)
        expect(convictions.get(ledger, { key0, key1, key2 })).toBeUndefined()
      }
    }),
    { numRuns: 400 },
  )
})

// ---- in blocks ----

/** A chain of four validators, and reports against them in its words. */
async function chainWithEpochs() {
  const chain = await createTestChain({ params: { epochBlocks: EPOCH_BLOCKS }, validators: equalValidators(4) })
  const report = (key: number, height: number) => {
    return reportOfEvidence(
      offenceOf({ key, height, epoch: Math.floor((height - 1) / EPOCH_BLOCKS), chainId: chain.genesis.params.chainId }),
    )
  }
  return { chain, report }
}

/** What another node says to the block with other transactions, which stands on the same parent. */
async function judged(other: TestChain, block: Block, transactions: readonly Uint8Array[]) {
  const { state } = other.executor
  const roots = state.roots()
  const applied = await applyBlock(other.executor, other.head(), { ...block, transactions: [...transactions] })
  if (!applied.ok) state.reset(roots)
  return applied.ok ? 'ok' : applied.code
}

test('a block tells of a conviction in a log, takes its gas, and names the next set without who was convicted', async () => {
  const { chain, report } = await chainWithEpochs()
  for (let number = 1; number < EPOCH_BLOCKS; number++) await chain.next([])
  const tx = report(2, 1)
  const built = await chain.next([], { reports: [tx] })
  expect(built.transactions).toEqual([tx])
  expect(tx).toMatchObject({ sender: SYSTEM_SENDER, type: 0x5a })
  const receipt = built.receipts[0]
  expect(receipt).toMatchObject({ type: 0x5a, succeeded: true, gasUsed: REPORT_GAS, cumulativeGasUsed: REPORT_GAS, dataFee: undefined })
  expect(built.block.header.gasUsed).toBe(REPORT_GAS)
  const logs = receipt?.logs.map(({ address, topics, data }) => {
    expect(address).toBe(VALIDATORS)
    return decodeEventLog({ abi: [validatorConvictedEvent, validatorChangedEvent], topics: topics as [Hex], data })
  })
  const { validator, key0, key1, key2 } = memberOf(2)
  const key = `0x${[key0, key1, key2].map((word) => word.slice(2)).join('')}`
  expect(logs?.map(({ eventName, args }) => [eventName, { ...args, validator: args?.validator.toLowerCase() }])).toEqual([
    ['ValidatorConvicted', { validator, key, height: 1n, kind: 1 }],
    ['ValidatorChanged', { validator, weight: 0n, fromEpoch: 1 }],
  ])
  const next = setOfEpoch(chain.executor.state.ledger, 1) ?? []
  expect(next.map((one) => one.validator)).toEqual([0, 1, 3].map((index) => memberOf(index).validator))
  expect(built.block.header.requestsHash).toBe(requestsHashOf(hashOfSet(1, next)))
})

test('a report is shown as a call of report(bytes)', () => {
  const evidence = bytesOf()
  const data = reportCallData(reportOf(evidence))
  expect(decodeFunctionData({ abi: parseAbi(['function report(bytes evidence)']), data }).args).toEqual([bytesToHex(evidence)])
})

test('reports are few and stand behind the deposits, before everything else; a block is refused that has them otherwise', async () => {
  const [one, other] = [await chainWithEpochs(), await chainWithEpochs()]
  const { chain, report } = one
  for (const { chain: own } of [one, other]) {
    await own.next([])
    await own.next([])
  }
  const [alice] = testAccounts
  if (!alice) throw new Error('there are accounts')
  const fields = { kind: 0, to: addressOf(alice), amount: 1n }
  const sent = await signNative(alice, { type: transfer, fields, nonce: 0n, chainId: chain.genesis.params.chainId })
  const before = getL1Info(chain.executor.state.ledger)
  const info = { ...before, number: before.number + 1n, hash: toHex(77, { size: 32 }) }
  const reports = [report(0, 1), report(2, 2)]
  const { block, transactions } = await chain.next([chain.decode(sent)], { reports, origin: { info, deposits: [] } })
  expect(transactions.map(({ kind }) => kind)).toEqual(['deposit', 'report', 'report', 'native'])
  const [l1Info, first, second, native] = block.transactions as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const say = (...raws: readonly Uint8Array[]) => judged(other.chain, block, raws)
  expect(await say(l1Info, first, native, second)).toBe('misplacedReport')
  expect(await say(first, l1Info, second, native)).toBe('misplacedDeposit')
  expect(await say(l1Info, first, first, native)).toBe('alreadyConvicted')
  expect(await say(l1Info, first, report(2, 3).raw, native)).toBe('unknownHeight')
  expect(await say(l1Info, first, second.slice(0, -1), native)).toBe('malformedTransaction')
  expect(await say(l1Info, changed(first, 280, 0), second, native)).toBe('badSignature')
  expect(await say(l1Info, first, second, native)).toBe('ok')
})

test('a block has no more reports than may be, and the others wait', async () => {
  const count = REPORTS_PER_BLOCK_MAX + 1
  const validators = equalValidators(count + 1)
  const [chain, other] = (await Promise.all([0, 1].map(() => createTestChain({ params: { epochBlocks: EPOCH_BLOCKS }, validators })))) as [
    TestChain,
    TestChain,
  ]
  const reports: ReportTx[] = Array.from({ length: count }, (_, key) =>
    reportOfEvidence(offenceOf({ key, height: 1, epoch: 0, chainId: chain.genesis.params.chainId })),
  )
  await chain.next([])
  await other.next([])
  const built = await chain.next([], { reports })
  expect(built.transactions).toEqual(reports.slice(0, REPORTS_PER_BLOCK_MAX))
  expect(built.rejected).toEqual([])
  expect(
    await judged(
      other,
      built.block,
      reports.map(({ raw }) => raw),
    ),
  ).toBe('tooManyReports')
  const next = await chain.next([], { reports })
  expect(next.transactions).toEqual(reports.slice(REPORTS_PER_BLOCK_MAX))
  expect(new Set(next.rejected.map(({ rejection }) => rejection.code))).toEqual(new Set(['alreadyConvicted']))
})

test('the registry brings nobody back, and a deposit that takes out who was convicted changes nothing more', async () => {
  const { chain, report } = await chainWithEpochs()
  await chain.next([])
  await chain.next([], { reports: [report(2, 1)] })
  const { validator, feeRecipient, key0, key1, key2 } = memberOf(2)
  const abi = parseAbi(['function setValidator(address validator, address feeRecipient, uint96 weight, bytes32[3] key)'])
  const word = (who: Hex, weight: bigint): Deposit => ({
    ...{ sourceHash: toHex(weight, { size: 32 }), from: validator, to: VALIDATORS, mintWei: 0n, valueWei: 0n, gas: 0n, isSystem: false },
    data: encodeFunctionData({ abi, args: [who, feeRecipient, weight, [key0, key1, key2]] }),
  })
  const before = getL1Info(chain.executor.state.ledger)
  const deposits = [word(validator, 9n), word(toHex(0xbad, { size: 20 }), 9n), word(validator, 0n)]
  const info = { ...before, number: before.number + 1n, hash: toHex(77, { size: 32 }), depositCursor: before.depositCursor + 3n }
  const built = await chain.next([], { origin: { info, deposits } })
  expect(built.receipts.slice(1).map(({ succeeded, logs }) => [succeeded, logs.length])).toEqual(deposits.map(() => [true, 0]))
  expect(setOfEpoch(chain.executor.state.ledger, 1)?.map((one) => one.validator)).toEqual(
    [0, 1, 3].map((index) => memberOf(index).validator),
  )
})
