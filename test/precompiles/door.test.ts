/** A door does what the native transaction does, for whoever calls, and refuses in a known order at a known price. */
import fc from 'fast-check'
import {
  type Abi,
  bytesToHex,
  concatBytes,
  decodeErrorResult,
  encodeFunctionData,
  encodeFunctionResult,
  type Hex,
  hexToBytes,
  hexToString,
  numberToHex,
  stringToHex,
  toFunctionSelector,
  toHex,
  trim,
  zeroHash,
} from 'viem'
import { expect, test } from 'vitest'
import type { JournaledLedger } from '../../execution/ledger/ledger.ts'
import { credits, datanets, getAccount, getSupply, models, reviews, uploads, withdrawals, workers } from '../../execution/ledger/tables.ts'
import {
  attestationVerifierAbi,
  creditsDoorAbi,
  datanetsDoorAbi,
  FAILED_ERROR,
  gasPriceOracleAbi,
  inclusionVerifierAbi,
  ledgerDoorAbi,
  longestVerifierAbi,
  modelsDoorAbi,
  p384VerifierAbi,
  paramsDoorAbi,
  receiptVerifierAbi,
  sharesVerifierAbi,
  spanVerifierAbi,
  workersDoorAbi,
} from '../../execution/native/doorAbi.ts'
import { doorCallData, NATIVE_TYPES, nativeGas } from '../../execution/native/native.ts'
import type { Precompile, PrecompileCall, PrecompileResult } from '../../execution/precompile.ts'
import { DOOR, GAS_PRICE_ORACLE, GOVERNOR, OPEN_WEI, VERIFIER } from '../../genesis/params.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { CALLER, callIn, createEmptyLedger, type Outcome, PARAMS } from './frame.ts'
import { applyNatively, CLIENT, L1_INFO, LABELLER, MODEL_ID, OWNER, STEPS, type Step, WORKER, worldAfter } from './world.ts'

const ABI_OF: Readonly<Record<string, Abi>> = {
  [DOOR.ledger]: ledgerDoorAbi,
  [DOOR.datanets]: datanetsDoorAbi,
  [DOOR.models]: modelsDoorAbi,
  [DOOR.workers]: workersDoorAbi,
  [DOOR.credits]: creditsDoorAbi,
  [DOOR.params]: paramsDoorAbi,
  [GAS_PRICE_ORACLE]: gasPriceOracleAbi,
  [VERIFIER.receipt]: receiptVerifierAbi,
  [VERIFIER.inclusion]: inclusionVerifierAbi,
  [VERIFIER.attestation]: attestationVerifierAbi,
  [VERIFIER.span]: spanVerifierAbi,
  [VERIFIER.longest]: longestVerifierAbi,
  [VERIFIER.shares]: sharesVerifierAbi,
  [VERIFIER.p384]: p384VerifierAbi,
}

function precompileAt(address: Hex): Precompile {
  const found = PRECOMPILES.find((one) => one.address === address)
  if (!found) throw new Error(`nothing at ${address}`)
  return found
}

/** Call data by viem, from the published ABI and nothing of ours. */
function encodeStep({ type, fields }: Step): Uint8Array {
  const args = type.fields.parameters.map(({ name }) => fields[name ?? ''])
  return hexToBytes(encodeFunctionData({ abi: ABI_OF[type.door] ?? [], functionName: type.functionName, args }))
}

function callStep(ledger: JournaledLedger, one: Step, overrides: Partial<PrecompileCall> = {}): Outcome {
  const { sender: caller, valueWei, timeSec } = one
  return callIn(ledger, precompileAt(one.type.door), encodeStep(one), { caller, valueWei, timeSec, ...overrides })
}

/** The step of this name, on the ledger that it needs. */
function stepNamed(name: string): { readonly one: Step; readonly ledger: JournaledLedger } {
  const index = STEPS.findIndex((step) => step.name === name)
  const one = STEPS[index]
  if (!one) throw new Error(`no step ${name}`)
  return { one, ledger: worldAfter(index) }
}

/** The code by which a call was refused; undefined if it was not. */
function codeOf(result: PrecompileResult): string | undefined {
  if (result.kind !== 'revert') return undefined
  const { args } = decodeErrorResult({ abi: [FAILED_ERROR], data: toHex(result.output) })
  return hexToString(trim(args[0], { dir: 'right' }))
}

/** Changed records but for what says where the value came from: supply, allowance of the EVM, the caller's account, and the mark that ends a withdrawal. */
function changesOf(ledger: JournaledLedger, sender: Hex): readonly string[] {
  return ledger
    .takeChanges()
    .map(
      ({ table, id, record }) =>
        `${table} ${bytesToHex(id)} ${record && bytesToHex(table === withdrawals.number ? record.subarray(0, -1) : record)}`,
    )
    .filter((line) => !line.startsWith('0 0x01 ') && !line.startsWith('0 0x04 ') && !line.startsWith(`1 ${sender} `))
    .sort()
}

test('the table holds every door and verifier once', () =>
  expect(PRECOMPILES.map(({ address }) => address)).toEqual([...Object.values(DOOR), GAS_PRICE_ORACLE, ...Object.values(VERIFIER)]))

test('the story calls every operation of every door', () => expect(new Set(STEPS.map(({ type }) => type))).toEqual(new Set(NATIVE_TYPES)))

/** What the story's calls return, of those that return anything: its datanet is the first, and so is its upload, which counts from 0. */
const RETURNED: Readonly<Record<string, Hex>> = {
  DatanetCreate: numberToHex(1, { size: 32 }),
  DatanetUpload: zeroHash,
  ModelRegister: MODEL_ID,
}

/** The call does what the transaction does, and the value comes from the EVM. */
function expectSameAsNative(index: number, one: Step): void {
  const { type, sender, fields, valueWei } = one
  const onNative = worldAfter(index)
  const onCall = worldAfter(index)
  const logs = applyNatively(onNative, one)
  const { result, operations } = callStep(onCall, one)
  const output = hexToBytes(RETURNED[type.name] ?? '0x')
  expect(result).toEqual({ kind: 'return', gasUsed: nativeGas({ type, fields }), output, logs, burnWei: valueWei })
  expect(operations).toEqual([{ type, caller: sender, fields }])
  const account = getAccount(onNative, sender)
  expect(getAccount(onCall, sender)).toEqual({ ...account, balance: account.balance + valueWei })
  const supply = getSupply(onNative)
  expect(getSupply(onCall)).toEqual({ ...supply, evmSupply: supply.evmSupply - valueWei })
  expect(changesOf(onCall, sender)).toEqual(changesOf(onNative, sender))
}

/** The call is refused at full price and leaves no trace, and the transaction then does what the call could not. */
function expectNativeOnly(index: number, one: Step): void {
  const ledger = worldAfter(index)
  const { result, operations } = callStep(ledger, one)
  expect([codeOf(result), operations, ledger.takeChanges()]).toEqual(['nativeOnly', [], []])
  expect(result).toMatchObject({ gasUsed: nativeGas(one) })
  expect(applyNatively(ledger, one)).toHaveLength(1)
}

for (const [index, one] of STEPS.entries()) {
  if (one.nativeOnly) test(`${one.name}: a call is refused where the transaction passes`, () => expectNativeOnly(index, one))
  else test(`${one.name}: a call does what the transaction does, with value from the EVM`, () => expectSameAsNative(index, one))

  test(`${one.name}: the call is the one that JSON-RPC shows for the transaction`, () =>
    expect(bytesToHex(encodeStep(one))).toBe(doorCallData(one)))

  test(`${one.name}: one gas less than its price runs out, its price is enough`, () => {
    const { type, fields } = one
    const gasLimit = nativeGas({ type, fields })
    const ledger = worldAfter(index)
    expect(callStep(ledger, one, { gasLimit: gasLimit - 1n })).toEqual({ result: { kind: 'outOfGas' }, operations: [] })
    expect(callStep(ledger, one, { gasLimit: 0n }).result).toEqual({ kind: 'outOfGas' })
    expect(ledger.takeChanges()).toEqual([])
    expect(callStep(ledger, one, { gasLimit }).result.kind).toBe(one.nativeOnly ? 'revert' : 'return')
  })

  test(`${one.name}: is refused in static and delegated calls, before its value is looked at`, () => {
    const ledger = worldAfter(index)
    const valueWei = one.valueWei + 1n
    const codes = [{ isStatic: true }, { isDelegated: true }, { isStatic: true, isDelegated: true }, {}].map((how) => {
      const { result, operations } = callStep(ledger, one, { ...how, valueWei })
      return [codeOf(result), operations.length]
    })
    expect(codes).toEqual([
      ['staticCall', 0],
      ['delegatedCall', 0],
      ['delegatedCall', 0],
      ['wrongValue', 0],
    ])
    expect(ledger.takeChanges()).toEqual([])
  })
}

test('what operations cost is pinned', () => {
  const gas = STEPS.map(({ name, type, fields }) => [name, nativeGas({ type, fields })])
  expect(gas).toEqual([
    ['transfer', 10_712n],
    ['prepay', 10_712n],
    ['withdraw to L1', 10_712n],
    ['create a datanet', 11_464n],
    ['upload', 14_784n],
    ['accept', 10_440n],
    ['register a model', 15_524n],
    ['register a worker', 11_592n],
    ['credit', 29_800n],
    ['dispute', 442_672n],
    ['unbond', 11_240n],
    ['retire the upload', 10_424n],
    ['take the stake', 11_224n],
    ['claim', 11_992n],
  ])
})

test('a rule that fails reverts with its own code, at full price', () => {
  const { one, ledger } = stepNamed('upload')
  const unknown = { ...one, fields: { ...one.fields, datanetId: 9 } }
  const { result, operations } = callStep(ledger, unknown)
  expect([codeOf(result), operations]).toEqual(['unknownDatanet', []])
  expect(result).toMatchObject({ gasUsed: nativeGas(unknown) })
  const malformed = { ...one, fields: { ...one.fields, contentRoot: zeroHash } }
  expect(codeOf(callStep(ledger, malformed).result)).toBe('badContentRoot')
})

test('what a rule wrote before it failed is undone with the frame', () => {
  const { one, ledger } = stepNamed('register a worker')
  const poor = { ...one, fields: { ...one.fields, stake: 5n }, valueWei: 5n } // found out after the stake was taken
  let writes = 0
  const setDecoded: JournaledLedger['setDecoded'] = (...record) => {
    writes++
    ledger.setDecoded(...record)
  }
  const { result, operations } = callStep(ledger, poor, { ledger: { ...ledger, setDecoded } })
  expect([codeOf(result), operations, ledger.takeChanges()]).toEqual(['stakeTooLow', [], []])
  expect(writes).toBeGreaterThan(0)
})

test('a model beyond its licence is refused like any other', () => {
  const { one, ledger } = stepNamed('register a model')
  const codes = [0x1_000b, 0x0003].map((useFlags) => codeOf(callStep(ledger, { ...one, fields: { ...one.fields, useFlags } }).result))
  expect(codes).toEqual(['licenceExceeded', 'licenceObligation'])
})

test('what would spend a ledger or prepaid balance is for signed transactions only', () => {
  const { one, ledger } = stepNamed('transfer')
  const zero = `0x${'00'.repeat(20)}`
  const kinds = [
    { kind: 1, to: OWNER, amount: 1n },
    { kind: 4, to: zero, amount: 0n },
    { kind: 5, to: zero, amount: 1n },
  ]
  const codes = kinds.map((fields) => codeOf(callStep(ledger, { ...one, fields, valueWei: fields.amount }).result))
  expect(codes).toEqual(['nativeOnly', 'nativeOnly', 'nativeOnly'])
  expect(STEPS.filter(({ nativeOnly }) => nativeOnly).map(({ type }) => type.name)).toEqual(['AttributionCredit'])
})

test('no more value enters the ledger than the EVM holds', () => {
  const { one, ledger } = stepNamed('transfer')
  const amount = getSupply(ledger).evmSupply + 1n
  expect(codeOf(callStep(ledger, { ...one, fields: { ...one.fields, amount }, valueWei: amount }).result)).toBe('evmSupplyExceeded')
})

test('what is no call of the door is bad call data, at 30 a word', () => {
  const { one, ledger } = stepNamed('transfer')
  const good = encodeStep(one)
  const dirty = good.with(4 + 32, 1) // above the address
  const wide = good.with(4 + 30, 1) // kind 256
  const bads = [
    new Uint8Array(),
    good.subarray(0, 3),
    good.subarray(0, 4),
    good.subarray(0, -1),
    concatBytes([good, Uint8Array.of(0)]),
    good.with(0, (good[0] ?? 0) ^ 1),
    dirty,
    wide,
  ]
  const door = precompileAt(DOOR.ledger)
  for (const bad of bads) {
    const { result } = callIn(ledger, door, bad, { valueWei: 5n, isStatic: true, isDelegated: true })
    expect([codeOf(result), result]).toMatchObject(['badCallData', { gasUsed: 300n + 30n * BigInt(Math.ceil(bad.length / 32)) }])
  }
  expect(callIn(ledger, door, dirty, { gasLimit: 119n }).result).toEqual({ kind: 'outOfGas' })
})

test('the refusal is the ABI error Failed(bytes32)', () => {
  const { result } = callIn(createEmptyLedger(), precompileAt(DOOR.models), new Uint8Array())
  const output = concatBytes([hexToBytes(toFunctionSelector('Failed(bytes32)')), new TextEncoder().encode('badCallData'.padEnd(32, '\0'))])
  expect(result).toEqual({ kind: 'revert', gasUsed: 300n, output })
})

/** A view of the finished story: its arguments, and the results as the ledger holds them. */
type Question = {
  readonly door: Hex
  readonly name: string
  readonly args: readonly unknown[]
  readonly records: bigint
  readonly answer: unknown
}

function questionsOn(ledger: JournaledLedger): readonly Question[] {
  const { index, balance, prepaid, unlockAt, nonce } = getAccount(ledger, OWNER)
  const { deposited, withdrawn, evmSupply } = getSupply(ledger)
  const upload = { datanetId: 1, uploadIndex: 0 }
  const feeWei = 2_500n * 10n ** 9n
  return [
    { door: DOOR.ledger, name: 'accountOf', args: [OWNER], records: 1n, answer: [index, balance, prepaid, unlockAt, nonce] },
    { door: DOOR.ledger, name: 'accountOf', args: [CALLER], records: 1n, answer: [0, 0n, 0n, 0n, 0n] },
    { door: DOOR.ledger, name: 'supply', args: [], records: 1n, answer: [deposited, withdrawn, evmSupply] },
    { door: DOOR.ledger, name: 'l1Info', args: [], records: 1n, answer: Object.values(L1_INFO) },
    { door: DOOR.datanets, name: 'getDatanet', args: [1], records: 1n, answer: datanets.get(ledger, upload) },
    { door: DOOR.datanets, name: 'getUpload', args: [1, 0], records: 1n, answer: uploads.get(ledger, upload) },
    { door: DOOR.datanets, name: 'getReview', args: [1, 0], records: 1n, answer: reviews.get(ledger, upload) },
    { door: DOOR.models, name: 'getModel', args: [MODEL_ID], records: 1n, answer: models.get(ledger, { modelId: MODEL_ID }) },
    { door: DOOR.workers, name: 'getWorker', args: [WORKER], records: 1n, answer: workers.get(ledger, { worker: WORKER }) },
    {
      door: DOOR.credits,
      name: 'getCredit',
      args: [WORKER, 0],
      records: 1n,
      answer: credits.get(ledger, { worker: WORKER, creditIndex: 0 }),
    },
    { door: DOOR.credits, name: 'drawnOf', args: [CLIENT, WORKER], records: 1n, answer: feeWei },
    { door: DOOR.credits, name: 'drawnOf', args: [WORKER, CLIENT], records: 1n, answer: 0n },
    { door: DOOR.credits, name: 'earningsOf', args: [LABELLER, 10], records: 2n, answer: 200n * 10n ** 9n },
    { door: DOOR.credits, name: 'earningsOf', args: [LABELLER, 11], records: 2n, answer: 0n },
    { door: DOOR.credits, name: 'earningsOf', args: [CALLER, 10], records: 2n, answer: 0n },
  ]
}

const BEFORE_CLAIM = STEPS.length - 1

for (const [index, { door, name, args }] of questionsOn(worldAfter(BEFORE_CLAIM)).entries()) {
  test(`view ${name}(${args.join(', ')}) answers what the ledger holds, in any kind of call, for its price`, () => {
    const ledger = worldAfter(BEFORE_CLAIM)
    const { records, answer } = questionsOn(ledger)[index] ?? { records: 0n, answer: undefined }
    const abi = ABI_OF[door] ?? []
    const data = hexToBytes(encodeFunctionData({ abi, functionName: name, args }))
    const output = hexToBytes(encodeFunctionResult({ abi, functionName: name, result: answer }))
    const gasUsed = 300n + 2_100n * records + 30n * BigInt(Math.ceil(data.length / 32)) + 60n * BigInt(output.length / 32)
    for (const how of [{}, { isStatic: true }, { isDelegated: true }, { gasLimit: gasUsed }]) {
      const { result, operations } = callIn(ledger, precompileAt(door), data, how)
      expect(result).toEqual({ kind: 'return', gasUsed, output, logs: [], burnWei: 0n })
      expect(operations).toEqual([])
    }
    expect(callIn(ledger, precompileAt(door), data, { gasLimit: gasUsed - 1n }).result).toEqual({ kind: 'outOfGas' })
    expect(codeOf(callIn(ledger, precompileAt(door), data, { valueWei: 1n }).result)).toBe('wrongValue')
    expect(ledger.takeChanges()).toEqual([])
  })
}

test('a view of a record that is not there says which', () => {
  const views = [
    [DOOR.datanets, 'getDatanet', [1]],
    [DOOR.datanets, 'getUpload', [1, 0]],
    [DOOR.datanets, 'getReview', [1, 0]],
    [DOOR.models, 'getModel', [MODEL_ID]],
    [DOOR.workers, 'getWorker', [WORKER]],
    [DOOR.credits, 'getCredit', [WORKER, 0]],
  ] as const
  const answers = views.map(([door, functionName, args]) => {
    const data = hexToBytes(encodeFunctionData({ abi: ABI_OF[door] ?? [], functionName, args }))
    const { result } = callIn(createEmptyLedger(), precompileAt(door), data)
    return [codeOf(result), result.kind === 'revert' && result.gasUsed === 2_400n + 30n * BigInt(Math.ceil(data.length / 32))]
  })
  expect(answers).toEqual([
    ['unknownDatanet', true],
    ['unknownUpload', true],
    ['unknownReview', true],
    ['unknownModel', true],
    ['unknownWorker', true],
    ['unknownCredit', true],
  ])
})

/** Any bytes; a selector of the door and any bytes; or a good call of the story with some bytes changed. */
const hostileCalls = fc.constantFrom(...PRECOMPILES).chain((precompile) => {
  const selectors = (ABI_OF[precompile.address] ?? []).flatMap((item) =>
    item.type === 'function' ? [hexToBytes(toFunctionSelector(item))] : [],
  )
  const tail = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc.array(fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }), { maxLength: 20 }).map((words) => concatWords(words)),
    fc
      .array(fc.constantFrom(0n, 1n, 2n, 3n, 0x20n, 0x40n, 0x60n, 2n ** 31n, 2n ** 96n), { maxLength: 40 })
      .map((words) => concatWords(words)),
  )
  const selected = fc.tuple(fc.constantFrom(...selectors), tail).map(([selector, rest]) => concatBytes([selector, rest]))
  return fc.oneof(tail, selected).map((data) => ({ precompile, data }))
})

const bentCalls = fc
  .tuple(fc.constantFrom(...STEPS), fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }))
  .map(([one, changes]) => {
    const data = encodeStep(one)
    for (const [at, byte] of changes) data[at % data.length] = byte
    return { precompile: precompileAt(one.type.door), data }
  })

/** Votes, most of them of a name or a value that is none; and calls that are none any more. */
const bentVotes = fc
  .record({
    name: fc.constantFrom('protocolBps', 'blockGasLimit', 'unbondingSec', 'chainId', ''),
    value: fc.oneof(fc.bigInt({ min: 0n, max: 2_000n }), fc.constantFrom(2n ** 64n, 2n ** 256n - 1n)),
    change: fc.option(fc.tuple(fc.nat(), fc.nat(255))),
    cut: fc.nat(70),
  })
  .map(({ name, value, change, cut }) => {
    const args = [stringToHex(name, { size: 32 }), value] as const
    const data = hexToBytes(encodeFunctionData({ abi: paramsDoorAbi, functionName: 'setParam', args }))
    if (change) data[change[0] % data.length] = change[1]
    return { precompile: precompileAt(DOOR.params), data: cut < 60 ? data : data.subarray(0, cut - 2) }
  })

function concatWords(words: readonly bigint[]): Uint8Array {
  return concatBytes(words.map((word) => hexToBytes(toHex(word, { size: 32 }))))
}

test('whatever the bytes and whoever calls, a door answers, within its gas, and what it refuses left no trace', () => {
  const circumstances = fc.record({
    caller: fc.constantFrom(...STEPS.map(({ sender }) => sender), CALLER, GOVERNOR),
    valueWei: fc.constantFrom(0n, 0n, 5n, 7n, 9n, OPEN_WEI, 2n ** 255n),
    gasLimit: fc.constantFrom(0n, 100n, 3_000n, 11_000n, 100_000n, 30_000_000n),
    isStatic: fc.boolean(),
    isDelegated: fc.boolean(),
    timeSec: fc.constantFrom(1_000n, 5_000n),
  })
  const steps = fc.nat({ max: STEPS.length })
  return fc.assert(
    fc.property(fc.oneof(hostileCalls, bentCalls, bentVotes), circumstances, steps, ({ precompile, data }, how, count) => {
      const ledger = worldAfter(count)
      const isQuiet = how.isStatic || how.isDelegated
      const quiet = () => expect.unreachable('nothing may be written here')
      const guarded = isQuiet ? { ...ledger, set: quiet, setDecoded: quiet } : ledger
      const { result, operations } = callIn(ledger, precompile, data, { ...how, ledger: guarded })
      if (result.kind !== 'outOfGas') expect(result.gasUsed).toBeLessThanOrEqual(how.gasLimit)
      expect(operations.length).toBeLessThanOrEqual(result.kind === 'return' ? 1 : 0)
      if (operations.length === 0) expect(ledger.takeChanges()).toEqual([])
      if (result.kind === 'revert') expect(codeOf(result)).toMatch(/^[a-z][a-zA-Z0-9]+$/)
    }),
    { numRuns: 1_500 },
  )
})

test('the chain in the message is the chain of the call', () => {
  const { one, ledger } = stepNamed('credit')
  expect(codeOf(callStep(ledger, one, { params: { ...PARAMS, chainId: 1 } }).result)).toBe('badVoucher')
})
