/**
 * Native transactions as a wallet of somebody else makes them: the typed data of docs/spec/transactions.md, written out here from the page, signed by
 * viem as `eth_signTypedData_v4` does, and put into the wire form by viem's RLP. Nothing of ours has a part in it until the bytes reach the node.
 */
import {
  type Abi,
  concatHex,
  encodeFunctionData,
  type Hex,
  keccak256,
  parseAbi,
  parseEther,
  parseEventLogs,
  parseSignature,
  stringToHex,
  toHex,
  toRlp,
  zeroAddress,
  zeroHash,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { creditsDoorAbi, datanetsDoorAbi, ledgerDoorAbi, modelsDoorAbi, workersDoorAbi } from '../../execution/native/doorAbi.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { ask, devnetAccount, l2Client, lower, type Stage, startStage } from './stage.ts'

type Member = { readonly name: string; readonly type: string }
type Types = Readonly<Record<string, readonly Member[]>>
type RlpItem = Hex | readonly RlpItem[]

const DOORS = {
  ledger: '0x0000000000000000000000000000000000000a00',
  datanets: '0x0000000000000000000000000000000000000a01',
  models: '0x0000000000000000000000000000000000000a02',
  workers: '0x0000000000000000000000000000000000000a03',
  credits: '0x0000000000000000000000000000000000000a04',
} as const
const RECEIPT_VERIFIER: Hex = '0x0000000000000000000000000000000000000a10'
const DOOR_ABIS: Readonly<Record<keyof typeof DOORS, Abi>> = {
  ledger: ledgerDoorAbi,
  datanets: datanetsDoorAbi,
  models: modelsDoorAbi,
  workers: workersDoorAbi,
  credits: creditsDoorAbi,
}

/** The structs of the page. */
const STRUCTS: Types = {
  Contributor: members('address account, uint16 shareBps, uint8 role'),
  DatanetSnapshot: members('uint32 datanetId, bytes32 snapshotRoot, uint32 uploadCount, uint32 recordCount, uint16 weightBps'),
  Draw: members('InferenceRequest request, bytes signature, uint96 amount'),
  InferenceRequest: members(
    'address client, address worker, bytes32 modelId, bytes32 promptCommit, bytes32 paramsHash, uint64 seed, uint32 maxOutputTokens, uint96 maxFee, uint96 cumulativeMaxFee, uint64 nonce, uint64 deadline',
  ),
}

/** The types of the page: byte, name, door, function, and the parameters. */
const TYPES = {
  Transfer: native(0x50, 'ledger', 'transfer', 'uint8 kind, address to, uint96 amount'),
  DatanetCreate: native(
    0x51,
    'datanets',
    'create',
    'string name, bytes32 schemaHash, uint32 licence, address curator, uint8 joinPolicy, uint96 uploadBond',
  ),
  DatanetUpload: native(
    0x52,
    'datanets',
    'upload',
    'uint32 datanetId, bytes32 contentRoot, bytes contentId, uint32 recordCount, uint64 byteCount, Contributor[] contributors',
  ),
  DatanetReview: native(0x53, 'datanets', 'review', 'uint32 datanetId, uint32 uploadIndex, uint8 verdict, uint16 qualityBps, uint8 reason'),
  ModelRegister: native(
    0x54,
    'models',
    'register',
    'string name, bytes32 baseHash, bytes32 adapterHash, bytes32 tokenizerHash, bytes32 trainingConfigHash, bytes32 runtimeProfileHash, uint32 useFlags, DatanetSnapshot[] datanets, uint96 priceBase, uint96 pricePrompt, uint96 priceOutput, uint16 ownerBps, uint16 workerBps, uint16 contributorBps, uint96 minStake, uint8 maxTier',
  ),
  WorkerRegister: native(
    0x55,
    'workers',
    'register',
    'uint8 action, address hotKey, bytes32 runtimeProfileHash, uint96 stake, string endpoint',
  ),
  AttributionCredit: native(
    0x56,
    'credits',
    'credit',
    'address worker, bytes32 modelId, uint64 firstSeq, uint32 count, bytes32 receiptsRoot, bytes32 attributionRoot, uint64 promptTokens, uint64 outputTokens, Draw[] draws, uint32[] accounts, uint48[] amountsGwei',
  ),
  CreditDispute: native(
    0x57,
    'credits',
    'dispute',
    'uint8 kind, address worker, uint32 creditIndex, Drawn[] drawn, uint32[] accounts, uint48[] amountsGwei, bytes evidence, bytes opened',
  ),
  Claim: native(0x58, 'credits', 'claim', 'uint32[] epochs'),
} as const

let stage: Stage
let rpc: string

beforeAll(async () => {
  stage = await startStage()
  rpc = stage.devnet.ready().rpc
})

afterAll(() => stage.close())

/** A model that names the first datanet, and a client's voucher for one inference of it by its own worker. */
async function modelAndVoucher() {
  const wallet = devnetAccount(0)
  const me = lower(wallet.address)
  const price = parseEther('0.5')
  const modelFields = {
    name: 'Small model',
    baseHash: keccak256('0x01'),
    adapterHash: zeroHash,
    tokenizerHash: zeroHash,
    trainingConfigHash: zeroHash,
    runtimeProfileHash: zeroHash,
    useFlags: 0x1_0003,
    datanets: [{ datanetId: 1, snapshotRoot: keccak256('0x02'), uploadCount: 1, recordCount: 12, weightBps: 10_000 }],
    priceBase: price,
    pricePrompt: 3n,
    priceOutput: 5n,
    ownerBps: 3_000,
    workerBps: 3_000,
    contributorBps: 4_000,
    minStake: 0n,
    maxTier: 0,
  }
  const modelId = keccak256(concatHex([packedModel(modelFields), me]))
  const fee = price + 100n * 3n + 40n * 5n
  const request = {
    client: me,
    worker: me,
    modelId,
    promptCommit: keccak256('0x03'),
    paramsHash: zeroHash,
    seed: 9n,
    maxOutputTokens: 100,
    maxFee: fee,
    cumulativeMaxFee: fee,
    nonce: 1n,
    deadline: 2n ** 40n,
  }
  const voucher = await wallet.signTypedData({
    domain: domainOf(RECEIPT_VERIFIER),
    types: { InferenceRequest: STRUCTS.InferenceRequest ?? [] },
    primaryType: 'InferenceRequest',
    message: request,
  })
  return { me, modelFields, modelId, fee, request, voucher }
}

/** A datanet and an upload to it, with names that are no ASCII. */
function datanetAndUpload(me: Hex) {
  const upload = {
    datanetId: 1,
    contentRoot: keccak256('0x04'),
    contentId: '0x0155122000ff',
    recordCount: 12,
    byteCount: 3_456n,
    contributors: [
      { account: me, shareBps: 6_000, role: 1 },
      { account: lower(devnetAccount(1).address), shareBps: 4_000, role: 3 },
    ],
  }
  const datanet = {
    name: 'Feldnotizen – 田野 📓',
    schemaHash: keccak256('0x05'),
    licence: 0x1_0003,
    curator: me,
    joinPolicy: 0,
    uploadBond: 7n,
  }
  return { datanet, upload }
}

/** One operation of each type, each finding what those before it left. */
async function everyOperation() {
  const { me, modelFields, modelId, fee, request, voucher } = await modelAndVoucher()
  const { datanet, upload } = datanetAndUpload(me)
  const credit = {
    worker: me,
    modelId,
    firstSeq: 1n,
    count: 1,
    receiptsRoot: keccak256('0x06'),
    attributionRoot: keccak256('0x07'),
    promptTokens: 100n,
    outputTokens: 40n,
    draws: [{ request, signature: voucher, amount: fee }],
    accounts: [1, 2],
    amountsGwei: [1_000, 2_000],
  }
  const worker = { action: 0, hotKey: me, runtimeProfileHash: zeroHash, stake: parseEther('1000'), endpoint: 'https://worker.example' }
  const steps = [
    { type: 'Transfer', fields: { kind: 0, to: devnetAccount(1).address, amount: parseEther('1') }, event: 'Transferred' },
    { type: 'Transfer', fields: { kind: 2, to: me, amount: parseEther('1') }, event: 'Transferred' },
    { type: 'DatanetCreate', fields: datanet, event: 'DatanetCreated' },
    { type: 'DatanetUpload', fields: upload, event: 'Uploaded' },
    { type: 'DatanetReview', fields: { datanetId: 1, uploadIndex: 0, verdict: 1, qualityBps: 9_000, reason: 0 }, event: 'Reviewed' },
    { type: 'ModelRegister', fields: modelFields, event: 'ModelRegistered' },
    { type: 'WorkerRegister', fields: worker, event: 'WorkerRegistered' },
    { type: 'AttributionCredit', fields: credit, event: 'Credited' },
    // Nothing has vested by now: taken into a block all the same, with the rule that it broke.
    { type: 'Claim', fields: { epochs: [4_000_000_000] }, event: 'Failed' },
  ] as const
  return { me, modelId, fee, datanet, steps }
}

test('every native type is taken from a wallet that knows typed data alone, and reads as a call of its door', async () => {
  const { me, modelId, fee, datanet, steps } = await everyOperation()
  const client = l2Client(rpc, 0)
  const hashes: Hex[] = []
  for (const [nonce, { type, fields }] of steps.entries()) {
    const raw = await walletTransaction(type, { fields, nonce: BigInt(nonce), wallet: 0 })
    const answer = await ask(rpc, 'eth_sendRawTransaction', [raw])
    expect(answer, type).toMatchObject({ result: keccak256(raw) })
    hashes.push(keccak256(raw))
  }
  for (const [nonce, { type, fields, event }] of steps.entries()) {
    const hash = hashes[nonce] ?? '0x'
    const receipt = await client.waitForTransactionReceipt({ hash })
    const succeeded = event !== 'Failed'
    expect(receipt, type).toMatchObject({ status: succeeded ? 'success' : 'reverted', from: me, to: DOORS[TYPES[type].door] })
    expect((receipt as { failureCode?: string }).failureCode, type).toBe(succeeded ? undefined : 'notMatured')
    const decoded = parseEventLogs({ abi: DOOR_ABIS[TYPES[type].door], logs: receipt.logs }) as unknown as {
      eventName: string
      address: Hex
    }[]
    expect(decoded.map(({ eventName, address }) => ({ eventName, address }))).toEqual([
      { eventName: event, address: DOORS[TYPES[type].door] },
    ])

    const { result } = await ask(rpc, 'eth_getTransactionByHash', [hash])
    expect(result, type).toMatchObject({
      hash,
      from: me,
      to: DOORS[TYPES[type].door],
      type: toHex(TYPES[type].byte),
      nonce: toHex(nonce),
      input: doorCall(type, fields),
      value: '0x0',
      nativeType: type,
      blockNumber: toHex(receipt.blockNumber),
    })
  }
  expect(await client.getModel({ modelId })).toMatchObject({ name: 'Small model', owner: me })
  expect(await client.getDatanet({ datanetId: 1 })).toMatchObject({ name: datanet.name, owner: me, accepted: 1 })
  expect(await client.getCredit({ worker: me, creditIndex: 0 })).toMatchObject({ fee, count: 1, toContributors: 3_000n * 10n ** 9n })
  expect(await client.getLedgerNonce({ account: me })).toBe(BigInt(steps.length))
  await listed(client, modelId)
})

/** What the lists say of all that. */
async function listed(client: ReturnType<typeof l2Client>, modelId: Hex): Promise<void> {
  const me = client.account.address.toLowerCase() as Hex
  const credits = await client.listCredits({ worker: me })
  expect(credits).toMatchObject({
    items: [{ worker: me, modelId, creditIndex: 0, count: 1, toContributors: 3_000n * 10n ** 9n }],
    cursor: undefined,
  })
  expect(await client.listCredits({ modelId: zeroHash })).toEqual({ items: [], cursor: undefined })
  const { entries, transactionHash } = await client.getCreditEntries({ worker: me, creditIndex: 0 })
  expect(transactionHash).toBe(credits.items[0]?.transactionHash)
  expect(entries.reduce((sum, { amount }) => sum + amount, 0n)).toBeLessThanOrEqual(3_000n * 10n ** 9n)
  for (const { account, index } of entries) expect(await client.getLedgerAccount({ account })).toMatchObject({ index })
  expect(await client.listModels({ owner: me })).toMatchObject({ items: [{ modelId, name: 'Small model', owner: me }] })
  expect(await client.listWorkers()).toMatchObject({ items: [{ worker: me, credits: 1 }] })
  expect((await client.getContributors({ datanetId: 1 })).items.length).toBeGreaterThan(0)
  expect((await client.getValidators()).validators).toHaveLength(1)
}

test('a signature for another chain, another door, another type or other fields is nobody’s here', async () => {
  const client = l2Client(rpc, 2)
  const me = client.account.address
  const fields = { kind: 0, to: devnetAccount(1).address, amount: 5n }
  const good = { fields, nonce: 0n, wallet: 2 }
  const before = await client.getLedgerAccount({ account: me })
  for (const [name, raw] of [
    ['chain', await walletTransaction('Transfer', { ...good, domain: { ...domainOf(DOORS.ledger), chainId: 1 } })],
    ['door', await walletTransaction('Transfer', { ...good, domain: domainOf(DOORS.credits) })],
    ['name', await walletTransaction('Transfer', { ...good, domain: { ...domainOf(DOORS.ledger), name: 'Other' } })],
    ['version', await walletTransaction('Transfer', { ...good, domain: { ...domainOf(DOORS.ledger), version: '2' } })],
    ['fields', await walletTransaction('Transfer', { ...good, signed: { ...fields, amount: 6n } })],
    ['type', await walletTransaction('Transfer', { ...good, primaryType: 'Claim' })],
  ] as const) {
    // Any signature is somebody's: of an address that has nothing here.
    const { error } = await ask(rpc, 'eth_sendRawTransaction', [raw])
    expect(error?.data, name).toMatchObject({ code: expect.stringMatching(/^(insufficientFunds|insufficientBalance)$/) })
  }
  expect(await client.getLedgerAccount({ account: me })).toEqual(before)
  const wrongChain = await walletTransaction('Transfer', { ...good, chainId: 1 })
  expect((await ask(rpc, 'eth_sendRawTransaction', [wrongChain])).error?.data).toMatchObject({ code: 'wrongChain' })
})

test('the actions for viem do the same, and what they return is what the ledger has', async () => {
  const client = l2Client(rpc, 3)
  const me = lower(client.account.address)
  const done = async (hash: Hex) => {
    const receipt = await client.waitForTransactionReceipt({ hash })
    expect(receipt).toMatchObject({ status: 'success', failureCode: undefined })
    return receipt.logs
  }
  const [creation, , , exit] = await Promise.all([
    client.createDatanet({ name: 'poems', licence: 3 }).then(done),
    client.transfer({ kind: 'prepaid', to: me, amount: 9n, nonce: 1n }).then(done),
    client.registerWorker({ hotKey: me, stake: parseEther('1000'), endpoint: 'https://poems.example', nonce: 2n }).then(done),
    client.transfer({ kind: 'l1', to: me, amount: 11n, nonce: 3n }).then(done),
    client.transfer({ kind: 'evm', to: zeroAddress.replace(/0$/, '9') as Hex, amount: 13n, nonce: 4n }).then(done),
  ])
  const [created] = parseEventLogs({ abi: datanetsDoorAbi, eventName: 'DatanetCreated', logs: creation })
  const datanetId = created?.args.datanetId ?? 0
  expect(await client.getDatanet({ datanetId })).toMatchObject({ datanetId, name: 'poems', owner: me, curator: me, licence: 3, status: 1 })
  const upload = { datanetId, contentRoot: keccak256('0x08'), contentId: '0x01', recordCount: 3, byteCount: 30n } as const
  await done(await client.uploadToDatanet(upload))
  await done(await client.reviewUpload({ datanetId, uploadIndex: 0, verdict: 'accept', qualityBps: 8_000 }))
  expect(await client.getUpload({ datanetId, uploadIndex: 0 })).toMatchObject({
    uploader: me,
    status: 2,
    qualityBps: 8_000,
    contentId: '0x01',
  })
  expect(await client.getWorker({ worker: me })).toMatchObject({ stake: parseEther('1000'), endpoint: 'https://poems.example' })
  expect(await client.getLedgerAccount({ account: me })).toMatchObject({ prepaid: 9n, nonce: 7n })
  const [withdrawn] = parseEventLogs({ abi: ledgerDoorAbi, eventName: 'Withdrawn', logs: exit })
  expect(await client.getWithdrawal({ withdrawalIndex: withdrawn?.args.index ?? -1n })).toMatchObject({ from: me, to: me, amount: 11n })
  expect(await client.getBalance({ address: zeroAddress.replace(/0$/, '9') as Hex })).toBe(13n)
  await expect(client.claimEarnings({ epochs: [] })).rejects.toMatchObject({ name: 'TributaryError', code: 'badEpochs' })
})

type WalletOptions = {
  readonly fields: Readonly<Record<string, unknown>>
  readonly nonce: bigint
  /** Which of the devnet's accounts signs. */
  readonly wallet: number
  /** What is signed in place of what is sent. */
  readonly signed?: Readonly<Record<string, unknown>>
  readonly domain?: ReturnType<typeof domainOf>
  readonly primaryType?: string
  readonly chainId?: number
}

/** The wire form of a native transaction with a wallet's signature. */
async function walletTransaction(name: keyof typeof TYPES, options: WalletOptions): Promise<Hex> {
  const { byte, door, parameters } = TYPES[name]
  const { fields, nonce, wallet, chainId = DEVNET_PARAMS.chainId, primaryType = name } = options
  const maxFee = parseEther('1')
  const all = [...members('uint64 nonce, uint96 maxFee'), ...parameters]
  const used = Object.entries(STRUCTS).filter(([struct]) => uses(parameters, struct))
  const signature = await devnetAccount(wallet).signTypedData({
    domain: options.domain ?? domainOf(DOORS[door]),
    types: { ...Object.fromEntries(used), [primaryType]: all },
    primaryType,
    message: { nonce, maxFee, ...(options.signed ?? fields) },
  })
  const { r, s, yParity } = parseSignature(signature)
  const items = parameters.map((member) => wireItem(member.type, fields[member.name]))
  const numbers = [chainId, nonce, maxFee].map((value) => wireItem('uint96', value))
  const signed = [yParity, BigInt(r), BigInt(s)].map((value) => wireItem('uint256', value))
  return concatHex([toHex(byte), toRlp([...numbers, ...items, ...signed] as Hex[])])
}

function uses(parameters: readonly Member[], struct: string): boolean {
  return parameters.some(({ type }) => {
    const inner = STRUCTS[type.replace('[]', '')]
    return type.replace('[]', '') === struct || (inner !== undefined && uses(inner, struct))
  })
}

/** The call of the door that a wallet would show. */
function doorCall(name: keyof typeof TYPES, fields: Readonly<Record<string, unknown>>): Hex {
  const { call, parameters } = TYPES[name]
  const structs = Object.entries(STRUCTS).map(([struct, of]) => `struct ${struct} { ${of.map((m) => `${m.type} ${m.name};`).join(' ')} }`)
  const abi = parseAbi([...structs, `function ${call}(${parameters.map((m) => `${m.type} ${m.name}`).join(', ')})`] as string[]) as Abi
  return encodeFunctionData({ abi, functionName: call, args: parameters.map((member) => fields[member.name]) })
}

function wireItem(type: string, value: unknown): RlpItem {
  if (type.endsWith('[]')) return (value as unknown[]).map((one) => wireItem(type.slice(0, -2), one))
  const struct = STRUCTS[type]
  if (struct) return struct.map((member) => wireItem(member.type, (value as Record<string, unknown>)[member.name]))
  if (type === 'string') return stringToHex(value as string)
  if (!type.startsWith('uint')) return lower(value as string)
  const integer = BigInt(value as bigint)
  if (integer === 0n) return '0x'
  const digits = integer.toString(16)
  return `0x${digits.length % 2 === 0 ? digits : `0${digits}`}`
}

/** A model's fields as docs/spec/ledger.md#tables packs them, of which its id is made. */
function packedModel(fields: Readonly<Record<string, unknown>>): Hex {
  return concatHex(TYPES.ModelRegister.parameters.map(({ name, type }) => packed(type, fields[name])))
}

function packed(type: string, value: unknown): Hex {
  if (type.endsWith('[]')) {
    const list = value as unknown[]
    return concatHex([toHex(list.length, { size: 2 }), ...list.map((one) => packed(type.slice(0, -2), one))])
  }
  const struct = STRUCTS[type]
  if (struct) return concatHex(struct.map((member) => packed(member.type, (value as Record<string, unknown>)[member.name])))
  if (type === 'string') return concatHex([toHex(Buffer.byteLength(value as string), { size: 2 }), stringToHex(value as string)])
  return type.startsWith('uint') ? toHex(BigInt(value as bigint), { size: Number(type.slice(4)) / 8 }) : (value as Hex)
}

function domainOf(verifyingContract: Hex) {
  return { name: 'Tributary', version: '1', chainId: DEVNET_PARAMS.chainId, verifyingContract }
}

function native<D extends keyof typeof DOORS>(byte: number, door: D, call: string, parameters: string) {
  return { byte, door, call, parameters: members(parameters) }
}

function members(list: string): readonly Member[] {
  return list.split(', ').map((member) => {
    const [type = '', name = ''] = member.split(' ')
    return { name, type }
  })
}
