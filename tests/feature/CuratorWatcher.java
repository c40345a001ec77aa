import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.details.ServiceCacheListener;

/** Prints what Apache Curator's cache of a service holds, each time it changes: server, base path, service. */
public class CuratorWatcher {
  public static void main(String[] arguments) throws Exception {
    CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], new RetryOneTime(100));
    client.start();
    ServiceDiscovery<Map> discovery =
        ServiceDiscoveryBuilder.builder(Map.class).client(client).basePath(arguments[1]).build();
    discovery.start();
    final ServiceCache<Map> cache = discovery.serviceCacheBuilder().name(arguments[2]).build();
    cache.addListener(
        new ServiceCacheListener() {
          public void cacheChanged() {
            print(cache);
          }

          public void stateChanged(CuratorFramework client, ConnectionState state) {}
        });
    cache.start();
    print(cache);
    System.out.println("watching");
    new CountDownLatch(1).await();
  }

  private static synchronized void print(ServiceCache<Map> cache) {
    TreeSet<String> found = new TreeSet<String>();
    for (ServiceInstance<Map> one : cache.getInstances()) {
      found.add(one.getAddress() + ":" + one.getPort());
    }
    System.out.println("now " + found);
  }
}
