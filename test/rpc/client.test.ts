/** rpc/client.ts against a server: every native operation through viem, signed by a key and by a wallet that only signs. */
import {
  type Address,
  createClient,
  createPublicClient,
  createWalletClient,
  custom,
  type EIP1193RequestFn,
  type Hex,
  http,
  keccak256,
  pad,
  parseSignature,
  recoverAddress,
  toHex,
  webSocket,
} from 'viem'
import { waitForTransactionReceipt } from 'viem/actions'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyLedgerProof } from '../../execution/ledger/proof.ts'
import { claim } from '../../execution/native/claim.ts'
import { modelIdOf } from '../../execution/native/modelRegister.ts'
import { encodeNative, signingHash } from '../../execution/native/native.ts'
import { type InferenceReceipt, type InferenceRequest, receiptDigest, requestDigest } from '../../execution/receipt.ts'
import { DOOR, OPEN_WEI } from '../../genesis/params.ts'
import { defineTributaryChain, explainFailure, TributaryError, tributaryActions } from '../../rpc/client.ts'
import { serializeTransaction, type TransactionSerializableNative } from '../../rpc/viemChain.ts'
import { signer } from '../fakes/chain.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

let served: Served
let chain: ReturnType<typeof defineTributaryChain>
beforeAll(async () => {
  served = await serve()
  const { url, wsUrl } = served.server
  chain = defineTributaryChain({ id: served.chain.params.chainId, rpcUrl: url, wsUrl })
})
afterAll(() => served.server.close())

const transport = () => http(undefined, { retryCount: 0 })
const publicClient = () => createPublicClient({ chain, transport: transport(), pollingInterval: 20 }).extend(tributaryActions())
const clientOf = (account: number) =>
  createWalletClient({ chain, account: signer(account), transport: transport() }).extend(tributaryActions())

/** Seals what was sent and answers its receipt, which must say that it succeeded. */
async function sealed(hash: Hex) {
  await served.chain.seal()
  const receipt = await publicClient().getTransactionReceipt({ hash })
  expect(receipt).toMatchObject({ status: 'success', failureCode: undefined })
  return receipt
}

/** Price of one inference. */
const feeWei = 10n ** 15n
const [owner, curator, contributor, worker, consumer] = [0, 1, 2, 3, 4].map((n) => addressOf(signer(n))) as [Hex, Hex, Hex, Hex, Hex]

/** A datanet with one accepted upload of the contributor's. */
async function contribute(): Promise<{ datanetId: number; account: number }> {
  const node = publicClient()
  await sealed(await clientOf(0).createDatanet({ name: 'songs', licence: 3, curator: signer(1).address, uploadBond: 9n }))
  const datanetId = 2
  expect(await node.getDatanet({ datanetId })).toMatchObject({ datanetId, owner, curator, name: 'songs', uploadBond: 9n, records: 0n })

  const content = { contentRoot: pad('0x11', { size: 32 }), contentId: '0xC0DE', recordCount: 4, byteCount: 400n } as const
  await sealed(await clientOf(2).uploadToDatanet({ datanetId, ...content }))
  const { index: account } = await node.getLedgerAccount({ account: contributor })
  const contributors = [{ account, shareBps: 10_000, role: 1 }]
  expect(await node.getUpload({ datanetId, uploadIndex: 0 })).toMatchObject({
    uploader: contributor,
    contentId: '0xc0de',
    byteCount: 400n,
    contributors,
  })

  await sealed(await clientOf(1).reviewUpload({ datanetId, uploadIndex: 0, verdict: 'accept', qualityBps: 9_000 }))
  expect(await node.getReview({ datanetId, uploadIndex: 0 })).toMatchObject({ reviewer: curator, verdict: 1, qualityBps: 9_000 })
  expect(await node.getUploads({ datanetId })).toHaveLength(1)
  return { datanetId, account }
}

/** A model on the datanet, of which the contributors get three tenths. */
async function registerModel(datanetId: number): Promise<Hex> {
  const node = publicClient()
  const manifest = {
    name: 'singer',
    baseHash: pad('0x22', { size: 32 }),
    useFlags: 1,
    datanets: [{ datanetId, snapshotRoot: pad('0x33', { size: 32 }), uploadCount: 1, recordCount: 4, weightBps: 10_000 }],
    priceBase: feeWei,
    ownerBps: 2_000,
    workerBps: 5_000,
    contributorBps: 3_000,
  } as const
  const registered = await sealed(await clientOf(0).registerModel(manifest))
  const modelId = registered.logs[0]?.topics[1] as Hex
  const { native } = (await node.getTransaction({ hash: registered.transactionHash })) as unknown as { native: Record<string, unknown> }
  expect(modelIdOf(native, owner)).toBe(modelId)
  const datanets = [{ ...manifest.datanets[0], retires: 0 }]
  expect(await node.getModel({ modelId })).toMatchObject({ owner, name: 'singer', priceBase: feeWei, datanets })
  return modelId
}

/** One inference, paid from the consumer's prepaid balance and credited by the worker. */
async function creditInference({ modelId, account, toContributors }: { modelId: Hex; account: number; toContributors: bigint }) {
  const node = publicClient()
  await sealed(
    await clientOf(3).registerWorker({ hotKey: signer(3).address, stake: 2_000n * OPEN_WEI, endpoint: 'https://worker.example' }),
  )
  expect(await node.getWorker({ worker })).toMatchObject({ hotKey: worker, stake: 2_000n * OPEN_WEI, credits: 0, lastSeq: 0n })

  await sealed(await clientOf(4).transfer({ kind: 'prepaid', to: consumer, amount: OPEN_WEI }))
  const request = inferenceRequest({ modelId, cumulativeMaxFee: OPEN_WEI })
  const signature = await clientOf(4).signInferenceRequest({ request })
  expect(await recoverAddress({ hash: toHex(requestDigest(request, chain.id)), signature })).toBe(signer(4).address)
  const roots = { receiptsRoot: pad('0x44', { size: 32 }), attributionRoot: pad('0x55', { size: 32 }) }
  const entries = { accounts: [account], amountsGwei: [Number(toContributors / 10n ** 9n)] }
  const window = { worker, modelId, firstSeq: 1n, count: 1, promptTokens: 3n, outputTokens: 4n }
  const draws = [{ request, signature, amount: feeWei }]
  const credited = await sealed(await clientOf(3).creditAttribution({ ...window, ...roots, ...entries, draws }))
  expect(await node.getCredit({ worker, creditIndex: 0 })).toMatchObject({ worker, modelId, fee: feeWei, toContributors })
  expect(await node.getCredits({ worker })).toHaveLength(1)
  expect(await node.getDraw({ client: consumer, worker })).toEqual({ client: consumer, worker, drawn: feeWei })
  return credited
}

test('the whole loop: datanet, upload, review, model, worker, prepaid inference, credit, claim', async () => {
  const node = publicClient()
  const { protocolBps, epochSec } = served.chain.params
  const { datanetId, account } = await contribute()
  const modelId = await registerModel(datanetId)
  const pool = ((feeWei - (feeWei * BigInt(protocolBps)) / 10_000n) * 3_000n) / 10_000n
  const toContributors = (pool / 10n ** 9n) * 10n ** 9n
  const { blockHash } = await creditInference({ modelId, account, toContributors })

  const epoch = Math.floor(Number((await node.getBlock({ blockHash })).timestamp) / epochSec)
  const [earned] = await node.getEarnings({ account: contributor, epochs: [epoch] })
  expect(earned).toMatchObject({ epoch, amount: toContributors })
  while (Number((await node.getBlock()).timestamp) < (earned?.claimableAtSec ?? 0)) await served.chain.seal()
  const before = await node.getLedgerAccount({ account: contributor })
  const claimed = await sealed(await clientOf(2).claimEarnings({ epochs: [epoch] }))
  const after = await node.getLedgerAccount({ account: contributor })
  expect(after.balance - before.balance).toBe(toContributors - claimed.gasUsed * claimed.effectiveGasPrice)
})

function inferenceRequest(given: Partial<InferenceRequest>): InferenceRequest {
  const zero = pad('0x0', { size: 32 })
  const shared = {
    client: consumer,
    worker,
    promptCommit: zero,
    paramsHash: zero,
    seed: 1n,
    maxOutputTokens: 16,
    maxFee: OPEN_WEI,
    nonce: 1n,
  }
  return { ...shared, modelId: zero, cumulativeMaxFee: OPEN_WEI, deadline: 4_000_000_000n, ...given }
}

test('transfers of every kind', async () => {
  const node = publicClient()
  const to: Address = '0x00000000000000000000000000000000000000BB'
  const client = clientOf(5)
  await sealed(await client.transfer({ to, amount: 3n }))
  await sealed(await client.transfer({ kind: 'evm', to, amount: 4n }))
  await sealed(await client.transfer({ kind: 'prepaid', to: signer(5).address, amount: 6n }))
  await sealed(await client.transfer({ kind: 'l1', to, amount: 5n }))
  await sealed(await client.transfer({ kind: 'unlockPrepaid' }))
  expect(await node.getLedgerAccount({ account: to })).toMatchObject({ account: to.toLowerCase(), balance: 3n })
  expect(await node.getBalance({ address: to })).toBe(4n)
  expect(await node.getWithdrawal({ withdrawalIndex: 1n })).toMatchObject({ withdrawalIndex: 1n, to: to.toLowerCase(), amount: 5n })
  expect(await node.getLedgerAccount({ account: signer(5).address })).toMatchObject({ prepaid: 6n, nonce: 5n })
})

test('a wallet that only signs needs a node beside it', async () => {
  const asked: string[] = []
  const wallet: EIP1193RequestFn = (async ({ method, params }: { method: string; params: [Address, string] }) => {
    asked.push(method)
    if (method !== 'eth_signTypedData_v4') throw new Error(`the wallet does not know ${method}`)
    const { domain, types, primaryType, message } = JSON.parse(params[1])
    return signer(6).signTypedData({ domain, types, primaryType, message })
  }) as EIP1193RequestFn
  const node = publicClient()
  const client = createWalletClient({ chain, account: signer(6).address, transport: custom({ request: wallet }) }).extend(
    tributaryActions({ node }),
  )
  const hash = await client.createDatanet({ name: 'by a wallet', licence: 1 })
  await sealed(hash)
  expect(asked).toEqual(['eth_signTypedData_v4'])
  expect(await node.getTransaction({ hash })).toMatchObject({ from: addressOf(signer(6)), type: 'native', nativeType: 'DatanetCreate' })
  const datanets = await node.getDatanets()
  expect(datanets.at(-1)).toMatchObject({ name: 'by a wallet', curator: addressOf(signer(6)) })
})

test('several transactions sent before a block count on', async () => {
  const client = clientOf(7)
  const hashes: Hex[] = []
  for (let i = 0; i < 3; i++) hashes.push(await client.transfer({ to: owner, amount: 1n }))
  await served.chain.seal()
  for (const hash of hashes) expect((await publicClient().getTransactionReceipt({ hash })).status).toBe('success')
})

test('what the chain refuses is told to people, with the rule’s name and its facts', async () => {
  const client = clientOf(0)
  const nameless = await client.createDatanet({ name: '', licence: 1 }).catch((error: unknown) => error)
  expect(nameless).toBeInstanceOf(TributaryError)
  expect(nameless).toMatchObject({ code: 'badName', message: 'The name must have 1 to 64 bytes.', retryable: false })
  served.chain.refuseNext({ ok: false, code: 'poolFull', invalid: true, txs: 5 })
  const full = await client.transfer({ to: curator, amount: 1n }).catch((error: unknown) => error)
  expect(full).toMatchObject({ code: 'poolFull', facts: { txs: 5 }, retryable: true, message: expect.stringMatching(/Try again/) })
  await expect(client.transfer({ to: '0x12' as Address, amount: 1n })).rejects.toThrow('to: expected 20 bytes, got 1')
  await expect(client.transfer({ to: curator, amount: 2n ** 96n })).rejects.toThrow('amount: does not fit 96 bits')
  const nobody = createClient({ chain, transport: transport() }).extend(tributaryActions())
  await expect(nobody.transfer({ to: curator, amount: 1n })).rejects.toThrow('an account is needed')
  expect(explainFailure('notCurator')).toBe('Only the curator may review uploads of this datanet.')
  expect(explainFailure('unheardOf')).toBe('The rule "unheardOf" was broken.')
})

test('a failure in a block is found in the receipt', async () => {
  const hash = await clientOf(0).reviewUpload({ datanetId: 1, uploadIndex: 9, verdict: 'reject', reason: 1 })
  await served.chain.seal()
  const receipt = await waitForTransactionReceipt(publicClient(), { hash })
  expect(receipt).toMatchObject({ status: 'reverted', failureCode: 'notCurator', to: DOOR.datanets })
})

test('reads: proof, supply, counters, parameters, status, fee', async () => {
  const node = publicClient()
  const { params, genesisHash } = served.chain
  const proof = await node.getLedgerProof({ table: 'datanets', id: { datanetId: 1 } })
  expect(verifyLedgerProof(proof.ledgerRoot, proof)).toBe(true)
  const absent = await node.getLedgerProof({ table: 'datanets', id: { datanetId: 99 }, blockTag: 'safe' })
  expect([absent.record, absent.blockNumber, verifyLedgerProof(absent.ledgerRoot, absent)]).toEqual([undefined, 2n, true])
  expect(await node.getLedgerProof({ table: 'supply' })).toMatchObject({ table: 'supply', tableNumber: 0 })
  expect(await node.getSupply({ blockNumber: 0n })).toEqual({
    deposited: 16_000_000n * OPEN_WEI,
    withdrawn: 0n,
    evmSupply: 8_000_000n * OPEN_WEI,
  })
  expect(await node.getCounters()).toMatchObject({ withdrawals: 1n, models: 1, workers: 1 })
  expect(await node.getL1Info()).toMatchObject({ number: 11n, depositCursor: 2n })
  expect(await node.getChainParams()).toEqual({ ...params, genesisHash })
  expect(await node.getSyncStatus()).toMatchObject({
    heads: { safe: 2n },
    l1Head: { number: 20n },
    l1Url: undefined,
    batches: { nextBlock: 3n },
    peers: 0,
  })
  const { gas, baseFeePerGas, fee, maxFee } = await node.estimateFee({ nativeType: 'Claim', native: { epochs: [1] } })
  expect([fee, maxFee]).toEqual([gas * baseFeePerGas, 2n * fee])
  expect(await node.getLedgerNonce({ account: owner, blockTag: 'pending' })).toBe(await node.getLedgerNonce({ account: owner }))
  expect(await node.getDatanet({ datanetId: 999 })).toBeUndefined()
})

test('viem signs and writes native transactions through the chain’s serializer, byte for byte as execution does', async () => {
  const native = { epochs: [1, 2] }
  const transaction: TransactionSerializableNative = {
    type: 'native',
    nativeType: 'Claim',
    chainId: chain.id,
    nonce: 3,
    maxFee: 5n,
    native,
  }
  const unsigned = { type: claim, chainId: chain.id, nonce: 3n, maxFeeWei: 5n, fields: native }
  expect(keccak256(serializeTransaction(transaction))).toBe(toHex(signingHash(unsigned)))
  const raw = await signer(0).signTransaction(transaction as never, { serializer: serializeTransaction as never })
  const { r, s, yParity } = parseSignature(await signer(0).sign({ hash: toHex(signingHash(unsigned)) }))
  const bytes = (hex: Hex) => Uint8Array.from(Buffer.from(hex.slice(2), 'hex'))
  expect(raw).toBe(toHex(encodeNative({ ...unsigned, signature: { r: bytes(r), s: bytes(s), yParity: yParity === 1 ? 1 : 0 } })))
})

test('viem writes deposits and Ethereum’s transactions as before', async () => {
  const at = served.chain.blocks[1]
  const deposit = at?.transactions[1]
  if (deposit?.kind !== 'deposit') throw new Error('the second transaction of block 1 is a deposit')
  const { sourceHash, from, to, mintWei, valueWei, gas, data } = deposit.deposit
  const written = serializeTransaction({
    type: 'deposit',
    sourceHash,
    from,
    to: to ?? null,
    mint: mintWei,
    value: valueWei,
    gas,
    data,
    isSystemTx: false,
  } as never)
  expect(written).toBe(toHex(deposit.raw))
  const [plain] = served.chain.blocks[2]?.transactions ?? []
  const client = createWalletClient({ chain, account: signer(0), transport: transport() })
  const signed = await client.signTransaction({
    type: 'legacy',
    nonce: 0,
    gas: 21_000n,
    gasPrice: 2_000_000_000n,
    to: addressOf(signer(5)),
    value: 1n,
  })
  expect(signed).toBe(toHex(plain?.raw ?? new Uint8Array()))
})

test('viem reads blocks of this chain: native transactions and deposits with their own fields, typed', async () => {
  const node = publicClient()
  const deposits = await node.getBlock({ blockNumber: 1n, includeTransactions: true })
  expect(deposits.transactions[1]).toMatchObject({ type: 'deposit', typeHex: '0x7e', mint: OPEN_WEI, isSystemTx: false, value: OPEN_WEI })
  const natives = await node.getBlock({ blockNumber: 3n, includeTransactions: true })
  expect(natives.transactions[0]).toMatchObject({
    type: 'native',
    typeHex: '0x51',
    nativeType: 'DatanetCreate',
    native: { name: 'poems', licence: 3, uploadBond: 7n, curator },
    maxFee: OPEN_WEI,
    to: DOOR.datanets,
    value: 0n,
    nonce: 0,
    chainId: chain.id,
  })
  const plain = await node.getBlock({ blockNumber: 2n, includeTransactions: true })
  expect(plain.transactions.map(({ type }) => type)).toEqual(['legacy', 'legacy', 'eip2930', 'eip1559', 'eip7702'])
  const socket = createPublicClient({ chain, transport: webSocket() })
  const heads: (bigint | null)[] = []
  const first = Promise.withResolvers<void>()
  const stop = socket.watchBlocks({
    onBlock(block) {
      heads.push(block.number)
      first.resolve()
    },
    emitOnBegin: true,
  })
  await first.promise
  stop()
  expect(heads[0]).toBe(served.chain.heads().latest)
  ;(await socket.transport.getRpcClient()).close()
})

test('a nonce of the native lane does not replace one of the EVM', () => {
  const keyOf = chain.transactionReplacement?.getKey
  const shared = { from: owner, hash: pad('0x1', { size: 32 }), nonce: 4 }
  expect(keyOf?.({ ...shared, type: 'native' } as never)).not.toBe(keyOf?.({ ...shared, type: 'eip1559' } as never))
  expect(keyOf?.({ ...shared, type: 'legacy' } as never)).toBe(keyOf?.({ ...shared, type: 'eip1559' } as never))
})

test('a receipt is signed by the worker’s hot key', async () => {
  const zero = pad('0x0', { size: 32 })
  const hashes = {
    requestHash: zero,
    modelId: zero,
    outputCommit: zero,
    tokensRoot: zero,
    traceRoot: zero,
    attributionHash: zero,
    attestationId: zero,
  }
  const receipt: InferenceReceipt = { ...hashes, worker, seq: 1n, promptTokens: 1, outputTokens: 2, fee: 3n, finishedAt: 4n, tier: 0 }
  const signature = await clientOf(3).signInferenceReceipt({ receipt })
  expect(await recoverAddress({ hash: toHex(receiptDigest(receipt, chain.id)), signature })).toBe(signer(3).address)
  expect(await publicClient().signInferenceReceipt({ receipt, account: signer(3) })).toBe(signature)
})
