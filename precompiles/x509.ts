/**
 * X.509 certificates and revocation lists of Intel's attestation PKI: ECDSA on P-256 with SHA-256 throughout, and nothing else is read.
 * A chain is never searched for: whoever verifies says which certificate must have issued which. Wire: DER. Sources: RFC 5280; Intel, "SGX PCK
 * Certificate and Certificate Revocation List Profile Specification". Spec: docs/spec/receipts.md#attestation
 */
import { bytesToHex, type Hex } from 'viem'
import { attempt, type Cursor, malformed } from '../execution/fields.ts'
import { type Curves, P256_BYTES } from './curves.ts'
import { cursorOver, isNext, restOf, TAG, takeDer, takeElement, takeEnd, takeInteger, takeOid, takeTime } from './der.ts'

/** From the first to the last second of it, both included. Seconds since 1970. */
export type Validity = { readonly fromSec: bigint; readonly untilSec: bigint }

/** What somebody signed, and who is said to have done it. */
type Signed = { readonly signedBytes: Uint8Array; readonly signature: Uint8Array; readonly issuer: Hex }

export type Certificate = Signed &
  Validity & {
    readonly serial: Hex
    readonly subject: Hex
    /** x ‖ y. */
    readonly key: Uint8Array
    readonly isCa: boolean
    /** The first byte of the key usage; 0 if there is none. */
    readonly keyUsage: number
    /** Values of the extensions, by object identifier. */
    readonly extensions: ReadonlyMap<Hex, Uint8Array>
  }

/** `entries` are read by `revokes`, and not before the signature is known to be good: they can be thousands. */
export type RevocationList = Signed & Validity & { readonly entries: Cursor | undefined }

/** Bits of `keyUsage`. Source: RFC 5280, section 4.2.1.3. */
const KEY_USAGE = { digitalSignature: 0x80, certificates: 0x04, revocationLists: 0x02 } as const

/** `AlgorithmIdentifier` of ecdsa-with-SHA256, and what stands before x ‖ y in the `SubjectPublicKeyInfo` of a P-256 key. */
const ECDSA_SHA256: Hex = '0x300a06082a8648ce3d040302'
const P256_KEY_PREFIX: Hex = '0x3059301306072a8648ce3d020106082a8648ce3d03010703420004'
const P256_KEY_PREFIX_BYTES = (P256_KEY_PREFIX.length - 2) / 2

/** Whoever made it pays little for a verifier's look at it: Intel's certificates have up to 1,300 bytes and 7 extensions. */
const CERTIFICATE_BYTES_MAX = 4_096
const EXTENSIONS_MAX = 16

const BASIC_CONSTRAINTS: Hex = '0x551d13'
const EXTENSION_KEY_USAGE: Hex = '0x551d0f'

/** Reads a certificate; undefined if it is none, or one of another kind than this PKI's. */
export function decodeCertificate(der: Uint8Array): Certificate | undefined {
  if (der.length > CERTIFICATE_BYTES_MAX) return undefined
  return attempt(() => {
    const { tbs, signedBytes, signature } = takeSigned(der)
    const version = takeDer(tbs, TAG.context0)
    if (bytesToHex(takeInteger(version)) !== '0x02') malformed()
    takeEnd(version)
    const serial = bytesToHex(takeInteger(tbs))
    takeAlgorithm(tbs)
    const issuer = takeName(tbs)
    const validity = takeDer(tbs, TAG.sequence)
    const [fromSec, untilSec] = [takeTime(validity), takeTime(validity)]
    takeEnd(validity)
    const subject = takeName(tbs)
    const key = takeKey(tbs)
    const explicit = takeDer(tbs, TAG.context3)
    const extensions = takeExtensions(explicit, [BASIC_CONSTRAINTS, EXTENSION_KEY_USAGE])
    takeEnd(explicit)
    takeEnd(tbs)
    const isCa = isAuthority(extensions.get(BASIC_CONSTRAINTS))
    const keyUsage = keyUsageOf(extensions.get(EXTENSION_KEY_USAGE))
    return { signedBytes, signature, issuer, fromSec, untilSec, serial, subject, key, isCa, keyUsage, extensions }
  })
}

/** Reads a revocation list; undefined if it is none. It must say when the next one comes. */
export function decodeRevocationList(der: Uint8Array): RevocationList | undefined {
  return attempt(() => {
    const { tbs, signedBytes, signature } = takeSigned(der)
    if (bytesToHex(takeInteger(tbs)) !== '0x01') malformed()
    takeAlgorithm(tbs)
    const issuer = takeName(tbs)
    const [fromSec, untilSec] = [takeTime(tbs), takeTime(tbs)]
    const entries = isNext(tbs, TAG.sequence) ? takeDer(tbs, TAG.sequence) : undefined
    const explicit = takeDer(tbs, TAG.context0)
    takeExtensions(explicit, [])
    takeEnd(explicit)
    takeEnd(tbs)
    return { signedBytes, signature, issuer, fromSec, untilSec, entries }
  })
}

/** Whether the list holds the certificate's number; undefined if it is malformed, which nothing signed is. */
export function revokes({ entries }: RevocationList, { serial }: Certificate): boolean | undefined {
  return attempt(() => {
    const cursor = { ...(entries ?? cursorOver(new Uint8Array())) }
    let isListed = false
    while (cursor.at < cursor.end) if (bytesToHex(takeInteger(takeDer(cursor, TAG.sequence))) === serial) isListed = true
    return isListed
  })
}

/** Whether an authority (whose own place is known) issued this: its name stands there, it may issue such a thing, and its key signed. */
export function isIssuedBy(signed: Certificate | RevocationList, authority: Certificate, { p256 }: Curves): boolean {
  const usage = 'entries' in signed ? KEY_USAGE.revocationLists : KEY_USAGE.certificates
  if (signed.issuer !== authority.subject || !authority.isCa || (authority.keyUsage & usage) === 0) return false
  return p256({ message: signed.signedBytes, signature: signed.signature, key: authority.key })
}

/** Whether the certificate is of somebody who signs things and issues nothing. */
export function isEndEntity({ isCa, keyUsage }: Certificate): boolean {
  return !isCa && (keyUsage & KEY_USAGE.digitalSignature) !== 0
}

function takeSigned(der: Uint8Array): { readonly tbs: Cursor; readonly signedBytes: Uint8Array; readonly signature: Uint8Array } {
  const cursor = cursorOver(der)
  const outer = takeDer(cursor, TAG.sequence)
  takeEnd(cursor)
  const signedBytes = takeElement(outer, TAG.sequence)
  takeAlgorithm(outer)
  const bits = takeDer(outer, TAG.bitString)
  takeEnd(outer)
  if (restOf({ ...bits, end: Math.min(bits.end, bits.at + 1) })[0] !== 0) malformed()
  const pair = takeDer({ ...bits, at: bits.at + 1 }, TAG.sequence)
  if (pair.end !== bits.end) malformed()
  const signature = new Uint8Array(2 * P256_BYTES)
  for (const end of [P256_BYTES, 2 * P256_BYTES]) {
    const number = takeInteger(pair)
    if (number.length > P256_BYTES) malformed()
    signature.set(number, end - number.length)
  }
  takeEnd(pair)
  return { tbs: takeDer(cursorOver(signedBytes), TAG.sequence), signedBytes, signature }
}

function takeAlgorithm(cursor: Cursor): void {
  if (bytesToHex(takeElement(cursor, TAG.sequence)) !== ECDSA_SHA256) malformed()
}

/** Names are compared by their bytes, which is how Intel writes them: the issuer's is a copy of the authority's subject. */
function takeName(cursor: Cursor): Hex {
  return bytesToHex(takeElement(cursor, TAG.sequence))
}

function takeKey(cursor: Cursor): Uint8Array {
  const info = takeElement(cursor, TAG.sequence)
  if (info.length !== P256_KEY_PREFIX_BYTES + 2 * P256_BYTES) malformed()
  if (bytesToHex(info.subarray(0, P256_KEY_PREFIX_BYTES)) !== P256_KEY_PREFIX) malformed()
  return info.subarray(P256_KEY_PREFIX_BYTES)
}

/** Extensions by identifier, each at most once. A critical one that is not among the known is a rule that we would break. */
function takeExtensions(cursor: Cursor, known: readonly Hex[]): ReadonlyMap<Hex, Uint8Array> {
  const extensions = new Map<Hex, Uint8Array>()
  const list = takeDer(cursor, TAG.sequence)
  while (list.at < list.end) {
    const extension = takeDer(list, TAG.sequence)
    const id = takeOid(extension)
    const isCritical = isNext(extension, TAG.boolean) && takeTrue(extension)
    if (extensions.size === EXTENSIONS_MAX || extensions.has(id) || (isCritical && !known.includes(id))) malformed()
    extensions.set(id, restOf(takeDer(extension, TAG.octetString)))
    takeEnd(extension)
  }
  return extensions
}

/** TRUE, the one boolean that DER writes where FALSE is the default. */
function takeTrue(cursor: Cursor): true {
  const value = restOf(takeDer(cursor, TAG.boolean))
  if (value.length !== 1 || value[0] !== 0xff) malformed()
  return true
}

/** The depth that an authority may be limited to is not looked at: chains have the one depth that whoever verifies gives them. */
function isAuthority(basicConstraints: Uint8Array | undefined): boolean {
  if (!basicConstraints) return false
  const cursor = cursorOver(basicConstraints)
  const constraints = takeDer(cursor, TAG.sequence)
  takeEnd(cursor)
  return isNext(constraints, TAG.boolean) && takeTrue(constraints)
}

function keyUsageOf(extension: Uint8Array | undefined): number {
  if (!extension) return 0
  const cursor = cursorOver(extension)
  const bits = restOf(takeDer(cursor, TAG.bitString))
  takeEnd(cursor)
  return bits[1] ?? 0
}
