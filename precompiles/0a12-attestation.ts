/**
 * 0x…0a12: whether evidence of a trusted execution environment is genuine, by collateral that lies on chain, at the block's time. It
 * says what runs where; it says nothing of an owner who opens the machine, which vendors exclude from what they promise.
 * Kinds: 1 Intel TDX (quote of version 4 or 5). Spec: docs/spec/receipts.md#attestation
 */
import { bytesToHex, type Hex, hexToBytes, size, slice, zeroHash } from 'viem'
import { assert } from '../execution/assert.ts'
import { keccak256 } from '../execution/keccak.ts'
import { ATTESTATION_CODE, type AttestationCode, attestationVerifierAbi } from '../execution/native/doorAbi.ts'
import type { Precompile, PrecompileCall } from '../execution/precompile.ts'
import { VERIFIER } from '../genesis/params.ts'
import type { Curves } from './curves.ts'
import { createDoor } from './door.ts'
import { type TdxTrust, verifyTdx } from './tdx.ts'
import { decodeCertificate } from './x509.ts'

/** Nine verifications on P-256, certificates, lists and JSON; then the reading of an account's code. Figures: docs/benchmarks.md */
const ATTEST_GAS = 250_000n
const EVIDENCE_BYTE_GAS = 3n

const KIND_TDX = 1

/** Quotes have 5,000 bytes, and come in buffers of 8,000. */
const EVIDENCE_BYTES_MAX = 16_384

const ADDRESS_PREFIX: Hex = '0x000000000000000000000000'

/** Intel SGX Root CA, until the end of 2049. Source: certificates.trustedservices.intel.com/IntelSGXRootCA.der */
const INTEL_ROOT_DER: Hex = `0x${[
  '3082028f30820234a003020102021422650cd65a9d3489f383b49552bf501b392706ac300a06082a8648ce3d0403023068311a301806035504030c11',
  '496e74656c2053475820526f6f74204341311a3018060355040a0c11496e74656c20436f72706f726174696f6e3114301206035504070c0b53616e74',
  '6120436c617261310b300906035504080c024341310b3009060355040613025553301e170d3138303532313130343531305a170d3439313233313233',
  '353935395a3068311a301806035504030c11496e74656c2053475820526f6f74204341311a3018060355040a0c11496e74656c20436f72706f726174',
  '696f6e3114301206035504070c0b53616e746120436c617261310b300906035504080c024341310b30090603550406130255533059301306072a8648',
  'ce3d020106082a8648ce3d030107034200040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f567918e2edc88e40d860b',
  'd0cc4ee26aacc988e505a953558c453f6b0904ae7394a381bb3081b8301f0603551d2304183016801422650cd65a9d3489f383b49552bf501b392706',
  'ac30520603551d1f044b30493047a045a043864168747470733a2f2f6365727469666963617465732e7472757374656473657276696365732e696e74',
  '656c2e636f6d2f496e74656c534758526f6f7443412e646572301d0603551d0e0416041422650cd65a9d3489f383b49552bf501b392706ac300e0603',
  '551d0f0101ff04040302010630120603551d130101ff040830060101ff020101300a06082a8648ce3d0403020349003046022100e5bfe50911f92f42',
  '8920dc368a302ee3d12ec5867ff622ec6497f78060c13c20022100e09d25ac7a0cb3e5e8e68fec5fa3bd416c47440bd950639d450edcbea4576aa2',
].join('')}`

/** Intel's root, or another for tests of what Intel would not sign. */
export function createAttestationVerifier(curves: Curves, rootDer: Uint8Array = hexToBytes(INTEL_ROOT_DER)): Precompile {
  const root = decodeCertificate(rootDer)
  assert(root, 'the root is a certificate')
  const trust: TdxTrust = { curves, root }
  return createDoor({
    address: VERIFIER.attestation,
    abi: attestationVerifierAbi,
    views: {
      attest: {
        gas: ({ evidence }) => ATTEST_GAS + EVIDENCE_BYTE_GAS * BigInt(size(evidence)),
        read: (call, args) => attest(call, args, trust),
      },
    },
  })
}

type Attestation = {
  readonly code: AttestationCode
  readonly measurement: Hex
  readonly reportData: readonly [Hex, Hex]
  readonly validUntil: bigint
}

type Args = { readonly kind: number; readonly evidence: Hex; readonly collateralId: Hex }

function attest(call: PrecompileCall, { kind, evidence, collateralId }: Args, trust: TdxTrust): Attestation {
  if (kind !== KIND_TDX) return nothing(ATTESTATION_CODE.unknownKind)
  // Lengths first, for what is too long is not worth another look.
  if (size(evidence) > EVIDENCE_BYTES_MAX || !collateralId.startsWith(ADDRESS_PREFIX)) return nothing(ATTESTATION_CODE.malformed)
  const collateralCode = call.codeOf(slice(collateralId, 12))
  const verdict = verifyTdx({ quote: hexToBytes(evidence), collateralCode, timeSec: call.timeSec }, trust)
  if (verdict.report === undefined) return nothing(verdict.code)
  const { code, report, untilSec } = verdict
  const [first, second] = [report.reportData.subarray(0, 32), report.reportData.subarray(32)]
  return {
    code,
    measurement: bytesToHex(keccak256(report.identity)),
    reportData: [bytesToHex(first), bytesToHex(second)],
    validUntil: untilSec,
  }
}

function nothing(code: AttestationCode): Attestation {
  return { code, measurement: zeroHash, reportData: [zeroHash, zeroHash], validUntil: 0n }
}
