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

/** An intake before a pool that answers later. `seen`: how many transactions it was asked about, and how many signatures had been recovered by then. */
function start(verdict: Verdict = { ok: true }) {
  let recovered = 0
  const seen: [offered: number, recovered: number][] = []
  const pool: IntakePool<Promise<readonly Verdict[]>> = {
    has: () => false,
    async offer(offers) {
      seen.push([offers.length, recovered])
      return offers.map(() => verdict)
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

test('what comes in one turn is recovered at once, with the signatures of others in it, and offered at once and in its order', async () => {
  const { submit, seen } = start()
  const raws = [await pay(0n), await creditSignedBy(client), await pay(1n)]
  const answers = await Promise.all(raws.map(submit))
  expect(answers.map((answer) => answer.ok && Buffer.from(answer.tx.raw))).toEqual(raws.map((raw) => Buffer.from(raw)))
  expect(seen).toEqual([[3, 4]])
})

test('a credit with somebody else’s signature is refused without asking the pool, and harms none beside it', async () => {
  const { submit, seen } = start()
  const [bad, good] = await Promise.all([submit(await creditSignedBy(stranger)), submit(await pay(0n))])
  expect(bad).toMatchObject({ code: 'badVoucher' })
  expect(good.ok).toBe(true)
  expect(seen).toEqual([[1, 3]])
})

test('a byte of a credit’s foreign signatures costs no more than one of a transfer', async () => {
  const perSignature = (raw: Uint8Array, signatures: number) => raw.length / signatures
  expect(perSignature(await creditSignedBy(client), 2)).toBeGreaterThan(perSignature(await pay(0n), 1))
})

test('what the pool says is what the sender hears', async () => {
  const { submit } = start(invalid('insufficientFunds'))
  expect(await submit(await creditSignedBy(client))).toEqual({ ok: false, code: 'insufficientFunds', invalid: true })
})

test('transactions in one message come out as they went in, each with memory of its own', async () => {
  const txs = [await pay(0n), await pay(1n), new Uint8Array()].map((raw, i) => {
    return { raw, hash: `0x${i}` as const, sender: addressOf(worker), publicKey: i === 1 ? new Uint8Array(64).fill(7) : undefined }
  })
  const unpacked = unpackTxs(structuredClone(packTxs(txs)))
  expect(unpacked).toEqual(txs)
  for (const { raw } of unpacked) expect(raw.buffer.byteLength).toBe(raw.length)
})
