import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** A server of the MongoDB protocol in memory. Prints its port; ends when its standard input does. */
public final class BsonServer {
    /** The oldest version that today's drivers talk to. */
    private static final class Version implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    private BsonServer() {}

    public static void main(String[] arguments) throws Exception {
        MongoServer server = new MongoServer(new MemoryBackend().version(new Version()));
        System.out.println("port " + server.bind().getPort());
        System.out.flush();
        while (System.in.read() != -1) {
            // whoever started us still lives
        }
        server.shutdownNow();
    }
}
