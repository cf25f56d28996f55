/** What an intake asks of a pool on another thread, and what it recovers meanwhile. */
import type { PrivateKeyAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { commonOf } from '../../execution/ethereumRules.ts'
import { attributionCredit } from '../../execution/native/attributionCredit.ts'
import { invalid } from '../../execution/native/nativeType.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { requestDigest } from '../../execution/receipt.ts'
import { recoverSignatory } from '../../execution/recover.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { packTxs, unpackTxs } from '../../node/rpcMessages.ts'
import { createTxIntake, type IntakePool, type Verdict } from '../../node/txIntake.ts'
import { addressOf, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'

const { chainId } = testGenesis().params
const [worker, client, stranger] = testAccounts as [PrivateKeyAccount, PrivateKeyAccount, PrivateKeyAccount]
const something = `0x${'5e'.repeat(32)}` as const

/** An intake before a pool that answers later. `seen`: what it was asked, and how many signatures had been recovered by then. */
function start(judge: (kind: 'offer' | 'conclude') => Verdict = () => ({ ok: true })) {
  let recovered = 0
  const seen: [kind: string, what: unknown, recovered: number][] = []
  const pool: IntakePool<Promise<readonly Verdict[]>> = {
    has: () => false,
    async offer(offers) {
      seen.push(['offer', offers.map(({ mayWait }) => mayWait), recovered])
      return offers.map(() => judge('offer'))
    },
    async conclude(concluded) {
      seen.push(['conclude', concluded.map(({ isWell }) => isWell), recovered])
      return concluded.map(() => judge('conclude'))
    },
  }
  const recover = async (signed: Parameters<typeof recoverSignatory>[0][]) => {
    recovered += signed.length
    return signed.map(recoverSignatory)
  }
  const intake = createTxIntake({ common: commonOf(chainId), recover: (signed) => recover([...signed]), pool })
  return { ...intake, seen }
}

const pay = (nonce: bigint) =>
  signNative(worker, { type: transfer, fields: { kind: 0, to: addressOf(client), amount: 1n }, nonce, chainId })

/** A credit with one draw, whose request `signer` signed in the client's name. */
async function creditSignedBy(signer: PrivateKeyAccount): Promise<Uint8Array> {
  const request = {
    ...{ client: addressOf(client), worker: addressOf(worker), modelId: something, promptCommit: something, paramsHash: something },
    ...{ seed: 1n, maxOutputTokens: 1, maxFee: 1n, cumulativeMaxFee: 1n, nonce: 1n, deadline: 1n },
  }
  const signature = await signer.sign({ hash: `0x${Buffer.from(requestDigest(request, chainId)).toString('hex')}` })
  const window = { worker: addressOf(worker), modelId: something, firstSeq: 1n, count: 1, promptTokens: 0n, outputTokens: 0n }
  const fields = { ...window, receiptsRoot: something, attributionRoot: something, draws: [{ request, signature, amount: 1n }] }
  return signNative(worker, {
    type: attributionCredit,
    fields: { ...fields, accounts: [], amountsGwei: [] },
    nonce: 5n,
    chainId,
    maxFeeWei: OPEN_WEI,
  })
}

test('what comes in one turn is offered at once and in its order; signatures of others are recovered after that', async () => {
  const { submit, seen } = start()
  const raws = [await pay(0n), await creditSignedBy(client), await pay(1n)]
  const answers = await Promise.all(raws.map(submit))
  expect(answers.map((answer) => answer.ok && Buffer.from(answer.tx.raw))).toEqual(raws.map((raw) => Buffer.from(raw)))
  expect(seen).toEqual([
    ['offer', [false, true, false], 3],
    ['conclude', [true], 4],
  ])
})

test('a credit that the pool would not take costs one recovery, whoever signed in it', async () => {
  const { submit, seen } = start((kind) => (kind === 'offer' ? invalid('insufficientFunds') : { ok: true }))
  expect(await submit(await creditSignedBy(stranger))).toEqual({ ok: false, code: 'insufficientFunds', invalid: true })
  expect(seen).toEqual([['offer', [true], 1]])
})

test('of a credit with somebody else’s signature the pool hears that it is not to be taken', async () => {
  const { submit, seen } = start()
  expect(await submit(await creditSignedBy(stranger))).toMatchObject({ code: 'badVoucher' })
  expect(seen).toEqual([
    ['offer', [true], 1],
    ['conclude', [false], 2],
  ])
})

test('what the pool says last counts', async () => {
  const { submit } = start((kind) => (kind === 'conclude' ? invalid('poolFull') : { ok: true }))
  expect(await submit(await creditSignedBy(client))).toMatchObject({ code: 'poolFull' })
})

test('transactions in one message come out as they went in, each with memory of its own', async () => {
  const txs = [await pay(0n), await pay(1n), new Uint8Array()].map((raw, i) => {
    return { raw, hash: `0x${i}` as const, sender: addressOf(worker), publicKey: i === 1 ? new Uint8Array(64).fill(7) : undefined }
  })
  const unpacked = unpackTxs(structuredClone(packTxs(txs)))
  expect(unpacked).toEqual(txs)
  for (const { raw } of unpacked) expect(raw.buffer.byteLength).toBe(raw.length)
})
